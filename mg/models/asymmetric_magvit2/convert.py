"""The published AsymmetricMagVitV2 (bornfly-detachment) -> ours."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.asymmetric_magvit2.config import AsymmetricMagVit2Config
from mg.models.asymmetric_magvit2.model import AsymmetricMagVit2
from mg.models.asymmetric_magvit2.names import MARK, is_left_out, to_ours
from mg.models.sizes import sizes_of

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
    config = config_of(tensors, norm_num_groups, file.path)
    model = AsymmetricMagVit2(config)
    weights.assign(model, list(weights.named_parameters(model)), tensors, file.path)
    return model


def config_of(tensors: Mapping[str, np.ndarray], norm_num_groups: int, source: Path) -> AsymmetricMagVit2Config:
    """Sizes, read from names and shapes under our names. Raises InputError where a tensor that tells one is missing."""
    sizes = sizes_of(tensors, source)
    halving = [tensors.get(f"encoder.levels.{level}.downsample.conv.weight") for level in range(len(sizes.channels))]
    return AsymmetricMagVit2Config(
        ch=sizes.first,
        ch_mult=sizes.multiples(source),
        num_res_blocks=sizes.blocks,
        z_channels=sizes.latent_channels,
        norm_num_groups=norm_num_groups,
        temporal_levels=tuple(level for level, kernel in enumerate(halving) if np.ndim(kernel) == 5),
    )


def _reshaped(name: str, tensor: np.ndarray) -> np.ndarray:
    """1x1x1 kernels become 1x1 ones, and those of an attention matrices."""
    if tensor.ndim == 5 and tensor.shape[2:] == (1, 1, 1):
        return tensor[:, :, 0, 0, 0] if ".attention." in name else tensor[:, :, 0]
    return tensor
