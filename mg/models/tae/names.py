"""Parameter names of other programs, as rules that give ours. Rules are applied in order, each to the whole name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from mg.errors import InputError

# diffusers AutoencoderKL: SD3.5's vae/diffusion_pytorch_model.safetensors.
_DIFFUSERS = [
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
    (r"\.to_out\.0\.", ".projection."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".shortcut."),
    (r"\.(conv_in|conv_out|conv1|conv2)\.", r".\1.spatial."),
]

# The layout of SD's original code, used by single-file checkpoints. "<n>" is the number of levels minus one minus n.
_LDM = [
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
    (r"\.(conv_in|conv_out|conv1|conv2)\.", r".\1.spatial."),
]

# mindone's examples/moviegen. The 1x1 shortcut's two halves are joined in convert.py.
_MOVIEGEN = [
    (r"\.down\.(\d+)\.block\.", r".levels.\1.blocks."),
    (r"\.down\.(\d+)\.downsample_spat\.", r".levels.\1.spatial_downsample."),
    (r"\.down\.(\d+)\.downsample_temp\.", r".levels.\1.temporal_downsample."),
    (r"\.up\.(\d+)\.block\.", r".levels.<\1>.blocks."),
    (r"\.up\.(\d+)\.upsample_spat\.", r".levels.<\1>.spatial_upsample."),
    (r"\.up\.(\d+)\.upsample_temp\.", r".levels.<\1>.temporal_upsample."),
    (r"\.mid\.block_([12])\.", r".middle.block\1."),
    (r"\.mid\.attn_1\.0\.", ".middle.spatial_attention."),
    (r"\.mid\.attn_1\.1\.", ".middle.temporal_attention."),
    (r"_attention\.(?:to_)?q\.", "_attention.query."),
    (r"_attention\.(?:to_)?k\.", "_attention.key."),
    (r"_attention\.(?:to_)?v\.", "_attention.value."),
    (r"_attention\.proj_out\.", "_attention.projection."),
    (r"\.nin_shortcut\.", ".shortcut."),
    (r"\.conv_spat\.", ".spatial."),
    (r"\.conv_temp\.", ".temporal."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
]


_RULES = {"diffusers": _DIFFUSERS, "ldm": _LDM, "moviegen": _MOVIEGEN}
_MARKS = {
    "mg": "encoder.conv_in.spatial.weight",
    "moviegen": "encoder.conv_in.conv_spat.weight",
    "diffusers": "encoder.down_blocks.0.resnets.0.conv1.weight",
    "ldm": "encoder.down.0.block.0.conv1.weight",
}


def is_temporal(name: str) -> bool:
    """Whether `name` (ours) belongs to a part that inflation adds: these start as exact identities."""
    return ".temporal." in name or ".temporal_" in name


def dialect_of(names: Iterable[str]) -> str:
    """Which program wrote these names: "mg", "diffusers", "ldm", "moviegen", or "unknown"."""
    names = set(names)
    for dialect, mark in _MARKS.items():
        if mark in names:
            return dialect
    return "unknown"


def to_ours(names: Collection[str], dialect: str) -> dict[str, str]:
    """{our name: their name} for names of a dialect. Raises InputError when two of theirs become one of ours."""
    renamed: dict[str, str] = {}
    last_level = max((int(m[1]) for name in names if (m := re.search(r"\.up\.(\d+)\.", name))), default=0)
    for theirs in names:
        ours = theirs
        for pattern, replacement in _RULES[dialect]:
            ours = re.sub(pattern, replacement, ours)
        ours = re.sub(r"<(\d+)>", lambda level: str(last_level - int(level[1])), ours)
        if ours in renamed:
            raise InputError(f"both '{renamed[ours]}' and '{theirs}' mean '{ours}'; the file mixes two layouts")
        renamed[ours] = theirs
    return renamed
