"""Names of the published weights' tensors, as rules that give ours."""

from __future__ import annotations

from collections.abc import Collection

from mg.models import names
from mg.models.names import Rules

_RULES: Rules = [
    (r"\.casual_conv\.", ".conv."),  # their spelling, in files from before the published ones
    (r"\.(conv_in|conv_out|conv1|conv2|conv|q|k|v|proj_out|nin_shortcut)\.conv\.", r".\1."),
    (r"\.upsample\.conv3d\.", ".upsample."),
    (r"\.down\.(\d+)\.block\.", r".levels.\1.blocks."),
    (r"\.down\.(\d+)\.", r".levels.\1."),
    (r"\.up\.(\d+)\.block\.", r".levels.<\1>.blocks."),
    (r"\.up\.(\d+)\.", r".levels.<\1>."),
    (r"\.mid\.block_([12])\.", r".middle.block\1."),
    (r"\.mid\.attn_1\.", ".middle.attention."),
    (r"\.q\.", ".query."),
    (r"\.k\.", ".key."),
    (r"\.v\.", ".value."),
    (r"\.proj_out\.", ".projection."),
    (r"\.nin_shortcut\.", ".shortcut."),
]
# No other program's files have this name.
MARK = "encoder.mid.attn_1.q.conv.weight"
UNUSED = ".downsample.conv.nin_shortcut."


def is_left_out(theirs: str) -> bool:
    """Whether a tensor of an older file is of its training, or of a shortcut that is never computed."""
    return "loss" in theirs or UNUSED in theirs


def to_ours(theirs: Collection[str]) -> dict[str, str]:
    """{our name: their name}. Raises InputError when two of theirs become one of ours."""
    return names.to_ours(theirs, _RULES)
