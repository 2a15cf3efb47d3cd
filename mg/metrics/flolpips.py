"""FloLPIPS: LPIPS where motion is wrong.  Danier, Zhang, Bull, Picture Coding Symposium 2022 (arXiv 2207.08119)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from mindspore import Tensor, nn

from mg.errors import InputError
from mg.metrics.lpips import MOST_AT_ONCE, Batches, about, check_size, frames_at_once, to_image, variant
from mg.models.lpips.network import LPIPS as Network

Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]  # two frames (H, W, 3) uint8 -> (H, W, 2): x and y, in pixels


class FloLPIPS:
    """The metric "flolpips": a distance for each step between frames, 0 for equal clips; lower is better.

    For the step from frame t to t+1, with flows F of the original and G of the reconstruction from t to t+1, and d_l
    the head-weighted squared difference of the two frames t in layer l of LPIPS, by pixel p:

        sum over l and p of  w_l(p) d_l(p),   w_l(p) = |F - G|_l(p) / sum over q of |F - G|_l(q)

    |.|_l: length of the difference of flows after it is resized (bilinearly) to layer l. LPIPS has w_l = 1 / pixels;
    so do we where the flows agree everywhere. Weights are of each step alone, as in the paper.

    path: a file of tools/convert_lpips.py; the paper's figures are of AlexNet. flow: optical flow from one frame to
    another. flow_about: what a report says of the flow. most: see LPIPS.
    """

    name = "flolpips"

    def __init__(self, path: Path | str | None, flow: Flow, flow_about: Mapping[str, str], most: int = MOST_AT_ONCE):
        self.network, self.flow, self.most = Network(path), flow, most
        self.weighted = WeightedDistance(self.network)
        definition = (
            f"LPIPS 0.1 ({variant(self.network)}) weighted by the difference of optical flows, of every step, fp32"
        )
        self.about = {"definition": definition, **about(path), **flow_about}

    def scorer(self) -> _Scorer:
        return _Scorer(self)


class WeightedDistance(nn.Cell):
    """LPIPS whose features are pooled with given weights: two (N, 3, H, W), five (N, h*w, 1) of sum 1 -> (N,)."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def construct(self, x: Tensor, y: Tensor, *importance: Tensor) -> Tensor:
        features_x, features_y = self.network.features(x), self.network.features(y)
        total = 0.0
        for number, head in enumerate(self.network.heads):
            total = total + head.weighted(features_x[number], features_y[number], importance[number])
        return total


class _Scorer:
    def __init__(self, metric: FloLPIPS):
        self.metric, self.last, self.batches = metric, None, None

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        if self.last is None:
            check_size(self.metric.network, original)
            self.batches = Batches(self.metric.weighted, frames_at_once(original, self.metric.most))
        else:
            self._add_step(self.last, (original, recon))
        self.last = (original, recon)

    def _add_step(self, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]):
        flows = [self.metric.flow(first, second) for first, second in zip(before, after)]
        sizes = feature_sizes(self.metric.network, before[0])
        weights = pooling_weights(flows[0] - flows[1], sizes)
        self.batches.add(*map(to_image, before), *weights)

    def finish(self) -> np.ndarray:
        """A score for each step, (frames - 1,)."""
        return np.zeros(0) if self.batches is None else self.batches.finish()


def feature_sizes(network: Network, frame: np.ndarray) -> list[tuple[int, int]]:
    """(h, w) of the features of a frame."""
    return getattr(network, network.backbone).sizes(*frame.shape[:2])


def pooling_weights(difference: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Weights of sum 1 in proportion to the length of a difference of flows (H, W, 2), (h*w, 1) for each size.

    All equal where the difference is zero everywhere. Raises InputError for a flow that is not finite.
    """
    if not np.isfinite(difference).all():
        raise InputError("the optical flow is not finite; export the flow network again, from its published weights")
    return [_weights(difference.astype(np.float32), size) for size in sizes]


def _weights(difference: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    resized = cv2.resize(difference, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float64)
    length = np.hypot(resized[..., 0], resized[..., 1]).reshape(-1, 1)
    if not length.any():
        length = np.ones_like(length)
    return (length / length.sum()).astype(np.float32)
