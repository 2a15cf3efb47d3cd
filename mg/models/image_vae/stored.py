"""What the files of an image VAE say of it: the shapes of its tensors, and diffusers' config.json."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mg.errors import InputError
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.sizes import Sizes, sizes_of

logger = logging.getLogger(__name__)

# (scaling, shift) by latent channels, for files without a config.json: those of SD 1.x and 2.x, and of SD3.5.
_FACTORS = {4: (0.18215, 0.0), 16: (ImageVAEConfig.scaling_factor, ImageVAEConfig.shift_factor)}
# Entries of a config.json that mean another network when they differ.
_FIXED = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "mid_block_add_attention": True,
    "in_channels": 3,
    "out_channels": 3,
}


def config_of(tensors: Mapping[str, np.ndarray], stored: Mapping[str, Any], source: Path) -> ImageVAEConfig:
    """The configuration of an image VAE: sizes from the shapes of its tensors, the rest from its config.json.

    stored: the config.json; empty for none: then 32 groups, and the factors of the published VAE with as many latent
    channels. Raises InputError when it says something else than the tensors.
    """
    sizes = sizes_of(tensors, source)
    require_same_sizes(stored, sizes, source)
    scaling, shift = factors_of(stored, _FACTORS.get(sizes.latent_channels, (1.0, 0.0)))
    if "scaling_factor" not in stored:
        logger.warning(
            "%s: no config.json tells its factors: scaling %s and shift %s are taken, as %d latent channels suggest",
            *(source, scaling, shift, sizes.latent_channels),
        )
    return ImageVAEConfig(
        block_out_channels=sizes.channels,
        layers_per_block=sizes.blocks,
        latent_channels=sizes.latent_channels,
        norm_num_groups=stored.get("norm_num_groups") or ImageVAEConfig.norm_num_groups,
        scaling_factor=scaling,
        shift_factor=shift,
        use_quant_conv="encoder.quant_conv.weight" in tensors,
        use_post_quant_conv="decoder.post_quant_conv.weight" in tensors,
    )


def factors_of(stored: Mapping[str, Any], default: tuple[float, float]) -> tuple[Any, Any]:
    """(scaling, shift) of a config.json, or the default.

    A shift that is null, or absent beside a scaling, is 0. With latents_mean and latents_std, lists of a number a
    channel, a diffusion model sees (z - mean) * scaling / std.
    """
    scaling, shift = default
    if stored.get("scaling_factor") is not None:
        scaling, shift = stored["scaling_factor"], 0.0
    if "shift_factor" in stored:
        shift = stored["shift_factor"] or 0.0
    mean, std = stored.get("latents_mean"), stored.get("latents_std")
    if mean is None or std is None:
        return scaling, shift
    try:
        return tuple((scaling / np.ravel(std)).tolist()), tuple(np.ravel(mean).astype(float).tolist())
    except (TypeError, ValueError):
        raise InputError("latents_mean and latents_std in config.json must be lists of numbers; correct it") from None


def require_same_sizes(stored: Mapping[str, Any], sizes: Sizes, source: Path) -> None:
    """Raise InputError when a config.json says other sizes than the tensors."""
    expected = {
        "block_out_channels": list(sizes.channels),
        "layers_per_block": sizes.blocks,
        "latent_channels": sizes.latent_channels,
    }
    for key, value in expected.items():
        if stored.get(key, value) not in (value, None):
            raise InputError(
                f"config.json beside '{source}' says {key}={stored[key]}, but the tensors say {value}; "
                "it belongs to another model: move it away or bring the right one"
            )


def read_config_json(path: Path) -> dict[str, Any]:
    """What diffusers' config.json says; empty when there is no such file.

    Raises InputError for what is not JSON, and for a network that an image VAE is not.
    """
    if not path.is_file():
        return {}
    remedy = "correct it, or move it away to use the values of the published models"
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' is not JSON ({error}); {remedy}") from None
    if not isinstance(stored, dict):
        raise InputError(f"'{path}' is not a JSON object; {remedy}")
    for key, value in _FIXED.items():
        if stored.get(key, value) != value:
            raise InputError(f"'{path}' says {key}={stored[key]!r:.60}, but only {value!r} can be read here; {remedy}")
    return stored
