"""Losses that only this family has: of the quantizer, in fp32 whatever the networks compute in."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.config import setting
from mg.distributed import Average
from mg.models.layers.folds import frames_first, to_pixels
from mg.models.o2_magvit2.classifier import LogitsDistance
from mg.models.terms import CLIP, RECONSTRUCTION, Facts, Term

_FLOOR = 1e-5  # added to probabilities before their logarithm, as the original does


def mean_squared_error(clip: Tensor, recon: Tensor) -> Tensor:
    """Mean over all elements of two tensors of one shape, (B, 3, T, H, W) in [-1, 1].  Returns an fp32 scalar."""
    difference = recon.astype(mstype.float32) - clip.astype(mstype.float32)
    return (difference * difference).mean()


def commitment(raw: Tensor, codes: Tensor) -> Tensor:
    """Mean squared distance of raw output from its codes, which do not move.  VQ-VAE (arXiv 1711.00937), equation 3.

    raw, codes: (B, bits, t, h, w).  Returns an fp32 scalar.
    """
    return mean_squared_error(ops.stop_gradient(codes), raw)


def log_probabilities(raw: Tensor, sharpness: float) -> tuple[Tensor, Tensor]:
    """Logarithms of the probabilities that each bit is 1 and that it is 0, (tokens, bits) each, fp32.

    raw: (B, bits, t, h, w). A token's probability of a code is softmax over codes of sharpness * 2 * raw . code. Every
    corner of the cube is a code, so that is the product over bits of sigmoid(+-4 * sharpness * raw), exactly.
    """
    x = to_pixels(frames_first(raw.astype(mstype.float32))).reshape(-1, raw.shape[1]) * (4.0 * sharpness)
    size = ops.abs(x)
    nearly = ops.log1p(ops.exp(-size))
    return 0.5 * (x - size) - nearly, -0.5 * (x + size) - nearly


def sample_entropy(raw: Tensor, sharpness: float) -> Tensor:
    """Mean over tokens of the entropy of a token's distribution over all codes: the sum of its bits' entropies.

    raw: (B, bits, t, h, w).  Returns an fp32 scalar in nats.  MAGVIT-v2 (arXiv 2310.05737), equation 5, first term.
    """
    one, zero = log_probabilities(raw, sharpness)
    return -(ops.exp(one) * one + ops.exp(zero) * zero).sum(1).mean()


class SampleEntropy(nn.Cell):
    """(raw) -> `sample_entropy` with this sharpness."""

    def __init__(self, sharpness: float):
        super().__init__()
        self.sharpness = sharpness

    def construct(self, raw: Tensor) -> Tensor:
        return sample_entropy(raw, self.sharpness)


class BatchEntropy(nn.Cell):
    """(raw) -> entropy of the mean distribution over all tokens of the batch and all ranks, an fp32 scalar in nats.

    raw: (B, bits, t, h, w).  MAGVIT-v2 (arXiv 2310.05737), equation 5, second term.
    The mean of products does not fall apart into bits. But a token's probability of a code is that of the code's first
    half times that of its second: the mean over tokens is the product of two matrices, (codes of one half, tokens) and
    (tokens, codes of the other). So neither tokens x 2^bits nor a table of codes is ever there.
    """

    def __init__(self, bits: int, sharpness: float, ranks: int):
        super().__init__()
        self.sharpness = sharpness
        self.halves = bits // 2
        self.first, self.second = (Tensor(_corners(count)) for count in (self.halves, bits - self.halves))
        self.join, self.matmul = ops.MatMul(transpose_a=True), ops.MatMul()
        self.average = Average(ranks)

    def construct(self, raw: Tensor) -> Tensor:
        one, zero = log_probabilities(raw, self.sharpness)
        first = self.of_codes(one[:, : self.halves], zero[:, : self.halves], self.first)
        second = self.of_codes(one[:, self.halves :], zero[:, self.halves :], self.second)
        (mean,) = self.average((self.join(first, second) / one.shape[0],))
        return -(mean * ops.log(mean + _FLOOR)).sum(1).sum()

    def of_codes(self, one: Tensor, zero: Tensor, corners: Tensor) -> Tensor:
        """(tokens, 2^bits) probabilities of all codes of some bits."""
        return ops.exp(self.matmul(ops.concat((one, zero), 1), corners))


def _corners(bits: int) -> np.ndarray:
    """(2 * bits, 2^bits): which bits are 1 in each code, and which are 0."""
    ones = np.array(list(product((0, 1), repeat=bits)), np.float32).reshape(2**bits, bits).T
    return np.concatenate((ones, 1 - ones))


def _bits(facts: Facts) -> int:
    return facts.config["token_size"]


def _sharpness(config: Any) -> float:
    return config.entropy_sharpness


TERMS = (
    Term(
        "mean_squared_error",
        (CLIP, RECONSTRUCTION),
        "squared differences, mean of all elements",
        function=mean_squared_error,
        of_reconstruction=True,
    ),
    Term(
        "logits",
        (CLIP, RECONSTRUCTION),
        "squared differences of a classifier's logits, mean of all",
        cell=lambda config, facts: LogitsDistance(config.logits_network, config.logits_ckpt, facts.dtype),
        of_reconstruction=True,
        settings=(
            ("logits_network", "str", setting("resnet50", "mindcv's name of the classifier")),
            ("logits_ckpt", "str | None", setting(None, "its weights: .ckpt or .safetensors with mindcv's names")),
        ),
    ),
    Term(
        "sample_entropy",
        ("raw",),
        "entropy of a token's distribution over codes",
        cell=lambda config, facts: SampleEntropy(_sharpness(config)),
        weight=(0.3, 0.1, 2000),
        settings=(("entropy_sharpness", "float", setting(100.0, "what affinities to codes are multiplied by", 0)),),
    ),
    Term(
        "batch_entropy",
        ("raw",),
        "entropy of the mean distribution over codes; more of it is better",
        cell=lambda config, facts: BatchEntropy(_bits(facts), _sharpness(config), facts.ranks),
        weight=(0.3, 0.1, 2000),
        maximised=True,
    ),
    Term("commitment", ("raw", "codes"), "squared distance to the codes", function=commitment, weight=0.25),
)
