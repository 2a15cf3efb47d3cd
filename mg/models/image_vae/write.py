"""An image VAE as diffusers' AutoencoderKL loads it: a folder with config.json and the tensors under its names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mg.files import TogetherWritten
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.names import Rules, to_ours
from mg.models.weights import as_stored, write_safetensors

# The inverse of the rules by which diffusers' names are read, in names.py.
_TO_DIFFUSERS: Rules = [
    (r"^(?:encoder|decoder)\.((?:post_)?quant_conv)\.", r"\1."),
    (r"^encoder\.levels\.(\d+)\.blocks\.", r"encoder.down_blocks.\1.resnets."),
    (r"^decoder\.levels\.(\d+)\.blocks\.", r"decoder.up_blocks.\1.resnets."),
    (r"\.levels\.(\d+)\.spatial_downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.levels\.(\d+)\.spatial_upsample\.", r".up_blocks.\1.upsamplers.0."),
    (r"\.middle\.block1\.", ".mid_block.resnets.0."),
    (r"\.middle\.block2\.", ".mid_block.resnets.1."),
    (r"\.spatial_attention\.norm\.", ".spatial_attention.group_norm."),
    (r"\.spatial_attention\.query\.", ".spatial_attention.to_q."),
    (r"\.spatial_attention\.key\.", ".spatial_attention.to_k."),
    (r"\.spatial_attention\.value\.", ".spatial_attention.to_v."),
    (r"\.spatial_attention\.projection\.", ".spatial_attention.to_out.0."),
    (r"\.middle\.spatial_attention\.", ".mid_block.attentions.0."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"\.shortcut\.", ".conv_shortcut."),
]


def write_diffusers(
    folder: Path | str, config: ImageVAEConfig, tensors: Mapping[str, np.ndarray], dtype: str = "fp32"
) -> None:
    """Write both files, or none. tensors: fp32, by our names; dtype: as stored, fp32, fp16 or bf16.

    Raises InputError for values that are not finite in that type.
    """
    folder = Path(folder)
    renamed = to_ours(list(tensors), _TO_DIFFUSERS)
    stored = as_stored({theirs: np.ascontiguousarray(tensors[ours]) for theirs, ours in renamed.items()}, dtype)
    with TogetherWritten() as files:
        files.part(folder / "config.json").write_text(json.dumps(diffusers_config(config), indent=2) + "\n")
        target = folder / "diffusion_pytorch_model.safetensors"
        part = files.part(target)
        write_safetensors(part, stored, {"format": "pt"}, target)
        part.chmod(0o644)


def diffusers_config(config: ImageVAEConfig) -> dict[str, Any]:
    """The config.json of a configuration. Factors a channel become latents_mean and latents_std, as they are read."""
    levels = len(config.block_out_channels)
    scaling, shift = config.scaling_factor, config.shift_factor
    of_channels = isinstance(scaling, tuple) or isinstance(shift, tuple)
    mean, std = (np.broadcast_to(factor, config.latent_channels) for factor in (shift, 1 / np.asarray(scaling)))
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": list(config.block_out_channels),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": config.latent_channels,
        "layers_per_block": config.layers_per_block,
        "mid_block_add_attention": True,
        "norm_num_groups": config.norm_num_groups,
        "scaling_factor": 1.0 if of_channels else scaling,
        "shift_factor": None if of_channels else shift,
        "latents_mean": mean.tolist() if of_channels else None,
        "latents_std": std.tolist() if of_channels else None,
        "use_quant_conv": config.use_quant_conv,
        "use_post_quant_conv": config.use_post_quant_conv,
    }
