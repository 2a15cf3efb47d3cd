"""Names of Open-Sora's tensors, and what they are called here."""

from __future__ import annotations

from collections.abc import Collection

from mg.models.image_vae.names import dialect_of
from mg.models.names import Rules, inside

SPATIAL, TEMPORAL = "spatial_vae.", "temporal_vae."
FACTORS = ("scale", "shift")  # of latents, (1, z, 1, 1, 1)
_SPATIAL_MODULE = "spatial_vae.module."
_MARK = "encoder.block_res_blocks.0.0.conv1.conv.weight"

# Convolutions stand in a cell of their own there. Of its levels' lists, number n is level n, both ways.
TEMPORAL_RULES: Rules = [
    (r"^(encoder|decoder)\.", r"\1.temporal."),
    (r"^quant_conv\.", "encoder.temporal.quant_conv."),
    (r"^post_quant_conv\.", "decoder.temporal.post_quant_conv."),
    (r"\.conv\.(weight|bias)$", r".\1"),
    (r"^encoder\.temporal\.conv_blocks\.(\d+)\.", r"encoder.temporal.levels.\1.downsample."),
    (r"^decoder\.temporal\.conv_blocks\.(\d+)\.", r"decoder.temporal.levels.\1.upsample.conv."),
    (r"\.block_res_blocks\.(\d+)\.(\d+)\.", r".levels.\1.blocks.\2."),
    (r"\.temporal\.res_blocks\.", ".temporal.middle."),
    (r"\.conv3\.", ".shortcut."),
    (r"\.temporal\.norm1\.", ".temporal.norm_out."),
    (r"^encoder\.temporal\.conv2\.", "encoder.temporal.conv_out."),
    (r"^decoder\.temporal\.conv1\.", "decoder.temporal.conv_in."),
]


def is_temporal(name: str) -> bool:
    """Whether a parameter, by our name, is the temporal VAE's."""
    return ".temporal." in name


def inserted(name: str) -> str:
    """An image VAE's name as one of the whole model: encoder.conv_in.weight is encoder.spatial.conv_in.weight."""
    side, _, rest = name.partition(".")
    return f"{side}.spatial.{rest}"


def parts_of(names: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """{name inside the part: whole name} of the image VAE and of the temporal VAE; without prefixes, all are the
    latter's."""
    spatial = inside(_SPATIAL_MODULE, names) or inside(SPATIAL, names)
    temporal = inside(TEMPORAL, names)
    if not spatial and not temporal:
        temporal = {name: name for name in names}
    return spatial, temporal


def is_temporal_vae(names: Collection[str]) -> bool:
    """Whether tensors of these names, without prefix, are a temporal VAE's."""
    return _MARK in names


def can_read(names: Collection[str]) -> bool:
    """Whether a file with tensors of these names holds both parts."""
    spatial, temporal = parts_of(names)
    return is_temporal_vae(temporal) and dialect_of(spatial) == "diffusers"
