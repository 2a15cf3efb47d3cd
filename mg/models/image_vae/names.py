"""Names of an image VAE's tensors in other programs: those of diffusers, and those of SD's original code."""

from __future__ import annotations

from collections.abc import Iterable

from mg.models import names
from mg.models.names import Rules

_QUANT: Rules = [
    (r"^quant_conv\.", "encoder.quant_conv."),
    (r"^post_quant_conv\.", "decoder.post_quant_conv."),
]

# diffusers' AutoencoderKL. Before version 0.19 its attention said query, key, value and proj_attn.
_DIFFUSERS: Rules = [
    (r"\.(?:down|up)_blocks\.(\d+)\.resnets\.", r".levels.\1.blocks."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".levels.\1.spatial_downsample."),
    (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", r".levels.\1.spatial_upsample."),
    (r"\.mid_block\.resnets\.0\.", ".middle.block1."),
    (r"\.mid_block\.resnets\.1\.", ".middle.block2."),
    (r"\.mid_block\.attentions\.0\.", ".middle.spatial_attention."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.(?:to_out\.0|proj_attn)\.", ".projection."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".shortcut."),
    *_QUANT,
]

# The layout of SD's original code, used by single-file checkpoints; its levels upwards are counted from the end.
_LDM: Rules = [
    (r"\.down\.(\d+)\.block\.", r".levels.\1.blocks."),
    (r"\.down\.(\d+)\.downsample\.", r".levels.\1.spatial_downsample."),
    (r"\.up\.(\d+)\.block\.", r".levels.<\1>.blocks."),
    (r"\.up\.(\d+)\.upsample\.", r".levels.<\1>.spatial_upsample."),
    (r"\.mid\.block_([12])\.", r".middle.block\1."),
    (r"\.mid\.attn_1\.", ".middle.spatial_attention."),
    (r"\.spatial_attention\.q\.", ".spatial_attention.query."),
    (r"\.spatial_attention\.k\.", ".spatial_attention.key."),
    (r"\.spatial_attention\.v\.", ".spatial_attention.value."),
    (r"\.spatial_attention\.proj_out\.", ".spatial_attention.projection."),
    (r"\.nin_shortcut\.", ".shortcut."),
    *_QUANT,
]

RULES = {"diffusers": _DIFFUSERS, "ldm": _LDM}
OURS = "encoder.levels.0.blocks.0.conv1.weight"
MARKS = {
    "diffusers": "encoder.down_blocks.0.resnets.0.conv1.weight",
    "ldm": "encoder.down.0.block.0.conv1.weight",
}
# Single-file checkpoints hold a whole diffusion model, of which the image VAE is what stands under this.
PREFIX = "first_stage_model."
# What single files of an image VAE carry on from its training.
LEFT_OVER = ("loss.", "model_ema.")


def dialect_of(theirs: Iterable[str]) -> str:
    """Which program wrote these names, without prefix: "diffusers", "ldm" or "unknown"."""
    return names.dialect_of(theirs, MARKS)
