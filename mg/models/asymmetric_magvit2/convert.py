"""The published AsymmetricMagVitV2 (bornfly-detachment) -> ours."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.asymmetric_magvit2.config import AsymmetricMagVit2Config
from mg.models.asymmetric_magvit2.model import AsymmetricMagVit2
from mg.models.asymmetric_magvit2.names import MARK, is_left_out, to_ours

logger = logging.getLogger(__name__)


def reads(names: Collection[str]) -> bool:
    """Whether a checkpoint with tensors of these names is an AsymmetricMagVitV2."""
    return MARK in names


def convert(
    file: weights.TensorFile, norm_num_groups: int = AsymmetricMagVit2Config.norm_num_groups
) -> AsymmetricMagVit2:
    """Read published weights, of any sizes, into a model that gives the original's results.

    What an older file has beside the networks is left out, and said so. Raises InputError for a tensor that is missing,
    unexpected or of another shape.
    """
    if not reads(file):
        raise InputError(f"'{file.path}' is not an AsymmetricMagVitV2: it has no tensor {MARK}")
    left_out = [name for name in file if is_left_out(name)]
    if left_out:
        logger.info("%d tensors are left out, since no network uses them: %s", len(left_out), ", ".join(left_out[:5]))
    theirs = to_ours([name for name in file if not is_left_out(name)])
    tensors = {ours: _reshaped(ours, file[name]) for ours, name in theirs.items()}
    config = config_of(tensors, norm_num_groups, str(file.path))
    model = AsymmetricMagVit2(config)
    weights.assign(model, list(weights.named_parameters(model)), tensors, file.path)
    return model


def config_of(tensors: Mapping[str, np.ndarray], norm_num_groups: int, source: str) -> AsymmetricMagVit2Config:
    """Sizes, read from names and shapes under our names. Raises InputError where a tensor that tells one is missing."""
    try:
        ch = len(tensors["encoder.conv_in.weight"])
        channels = []
        while (name := f"encoder.levels.{len(channels)}.blocks.0.conv1.weight") in tensors:
            channels.append(len(tensors[name]))
        blocks = 0
        while f"encoder.levels.0.blocks.{blocks}.conv1.weight" in tensors:
            blocks += 1
        halving = [tensors[f"encoder.levels.{level}.downsample.conv.weight"] for level in range(len(channels) - 1)]
        z_channels = len(tensors["encoder.conv_out.weight"]) // 2
    except KeyError as error:
        raise InputError(
            f"'{source}' has no tensor that means {error}; it is not a whole encoder and decoder"
        ) from None
    odd = [width for width in channels if not ch or width % ch]
    if odd or not channels:
        raise InputError(f"'{source}' has levels of {channels} channels, no multiples of the first layer's {ch}")
    return AsymmetricMagVit2Config(
        ch=ch,
        ch_mult=tuple(width // ch for width in channels),
        num_res_blocks=blocks,
        z_channels=z_channels,
        norm_num_groups=norm_num_groups,
        temporal_levels=tuple(level for level, kernel in enumerate(halving) if kernel.ndim == 5),
    )


def _reshaped(name: str, tensor: np.ndarray) -> np.ndarray:
    """1x1x1 kernels become 1x1 ones, and those of an attention matrices."""
    if tensor.ndim == 5 and tensor.shape[2:] == (1, 1, 1):
        return tensor[:, :, 0, 0, 0] if ".attention." in name else tensor[:, :, 0]
    return tensor
