"""Names of a TAE's tensors in other programs: an image VAE's, whose every tensor a TAE has too, and upstream's."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mg.models import names
from mg.models.image_vae.names import MARKS, RULES
from mg.models.names import Rules

# These convolutions of an image VAE become the spatial half of a convolution over space and time.
IMAGE_VAE: Rules = [(r"\.(conv_in|conv_out|conv1|conv2)\.", r".\1.spatial.")]

# mindone's examples/moviegen. The 1x1 shortcut's two halves are joined in convert.py.
_MOVIEGEN: Rules = [
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

_RULES = {"moviegen": _MOVIEGEN, **{dialect: [*rules, *IMAGE_VAE] for dialect, rules in RULES.items()}}
_MARKS = {"mg": "encoder.conv_in.spatial.weight", "moviegen": "encoder.conv_in.conv_spat.weight", **MARKS}


def is_temporal(name: str) -> bool:
    """Whether `name` (ours) belongs to a part that inflation adds: these start as exact identities."""
    return ".temporal." in name or ".temporal_" in name


def dialect_of(theirs: Iterable[str]) -> str:
    """Which program wrote these names: "mg", "moviegen", "diffusers", "ldm" or "unknown"."""
    return names.dialect_of(theirs, _MARKS)


def to_ours(theirs: Collection[str], dialect: str) -> dict[str, str]:
    """{our name: their name} for names of a dialect. Raises InputError when two of theirs become one of ours."""
    return names.to_ours(theirs, _RULES[dialect])
