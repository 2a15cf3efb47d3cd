"""A TAE for single images as an image VAE, the inverse of inflation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mg.errors import InputError
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.tae.names import is_temporal
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.weights import named_parameters

_BEFORE = {"temporal_downsample": "spatial_downsample", "temporal_upsample": "spatial_upsample"}


def image_half(tae: TemporalAutoencoder) -> tuple[ImageVAEConfig, dict[str, np.ndarray], bool]:
    """Configuration and tensors of an image VAE, and whether it gives for images what the TAE gives.

    With one frame all taps of a convolution over time see the same, so that their sum, a matrix, is joined with the
    convolution over space before it: exact, also after training. Attention over time has no place in an image VAE and
    is left out: exact only where its projection is still zero, as it starts.
    Raises InputError for weights whose frames of one image differ (upsample_padding zeros).
    """
    config = tae.config
    if config["upsample_padding"] == "zeros":
        raise InputError(
            "upsample_padding=zeros makes the frames that a TAE decodes of an image differ, so no image VAE gives the "
            "same; export a TAE that was inflated here"
        )
    tensors = {name: parameter.asnumpy() for name, parameter in named_parameters(tae).items()}
    exact = not any(value.any() for name, value in tensors.items() if ".temporal_attention.projection." in name)
    half = {name.replace(".spatial.", "."): value for name, value in tensors.items() if not is_temporal(name)}
    for name in [name for name in tensors if is_temporal(name) and name.endswith(".weight")]:
        if "_attention." not in name:
            _join(half, tensors, name)
    return _config(config), half, exact


def _join(half: dict[str, np.ndarray], tensors: dict[str, np.ndarray], temporal: str) -> None:
    """W = M Ws and b = M bs + bt, where M is the sum of the taps of the convolution over time."""
    spatial = temporal.replace(".temporal.", ".")
    for after, before in _BEFORE.items():
        spatial = spatial.replace(after, before)
    bias = spatial.replace(".weight", ".bias")
    matrix = tensors[temporal].sum((2, 3), dtype=np.float64)
    half[bias] = (matrix @ half[bias] + tensors[temporal.replace(".weight", ".bias")]).astype(np.float32)
    half[spatial] = np.einsum("ij,jkhw->ikhw", matrix, half[spatial]).astype(np.float32)


def _config(config: Mapping[str, Any]) -> ImageVAEConfig:
    return ImageVAEConfig(
        block_out_channels=tuple(round(config["ch"] * multiple) for multiple in config["ch_mult"]),
        layers_per_block=config["num_res_blocks"],
        latent_channels=config["z_channels"],
        norm_num_groups=config["norm_num_groups"],
        scaling_factor=config["scaling_factor"],
        shift_factor=config["shift_factor"],
    )
