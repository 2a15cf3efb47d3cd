"""Names of the tensors in the original's files."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mg.models import names
from mg.models.names import Rules, below

# In the original's encoders, blocks 1 to 3 of every level carry the number 0 of the first level in their own name.
_RULES: Rules = [
    (r"\.res_blocks\.res_block_(\d+)\.res_block_\d+_(\d+)\.", r".levels.\1.blocks.\2."),
    (r"\.res_blocks\.res_block_pre\.res_block_pre_(\d+)\.", r".first.\1."),
    (r"\.res_blocks\.res_block_final\.res_block_final_(\d+)\.", r".final.\1."),
    (r"\.conv_downsample_blocks\.conv_downsample_(\d+)\.", r".levels.\1.downsample.0."),
    (r"\.conv_upsample_blocks\.conv_upsample_(\d+)\.conv1\.", r".levels.\1.upsample.conv."),
    (r"\.cond_norm_layers\.cond_norm_(\d+)\.", r".levels.\1.norm."),
    (r"\.norm_0\.norm_fn\.", ".norm1."),
    (r"\.norm_1\.norm_fn\.", ".norm2."),
    (r"\.final_norm\.norm_fn\.", ".norm_out."),
    (r"\.conv_0\.", ".conv1."),
    (r"\.conv_1\.", ".conv2."),
    (r"\.conv_shortcut\.", ".shortcut."),
    (r"\.conv_first\.", ".conv_in."),
    (r"\.conv_last\.", ".conv_out."),
]
# The 3D model keeps each convolution one step further down.
_INNER: Rules = [(r"(\.(?:conv\w*|downsample\.0|shortcut|upsample\.conv))\.conv\.(weight|bias)$", r"\1.\2")]

# Averaged weights stand under the first, whole training states have the model under the second.
PREFIXES = ("module.", "tokenizer.")
# The values of bits, which their number says.
LEFT_OUT = ("quantize.mask",)
_MARKS = {
    "video": "encoder.res_blocks.res_block_0.res_block_0_0.conv_0.conv.weight",
    "image": "encoder.res_blocks.res_block_0.res_block_0_0.conv_0.weight",
}


def without_prefix(theirs: Iterable[str]) -> dict[str, str]:
    """{name without prefixes: whole name} of what stands under the prefixes, or of all tensors without one."""
    found = {name: name for name in theirs}
    for prefix in PREFIXES * 2:
        found = {name: found[whole] for name, whole in below(prefix, found).items()}
    return found


def dialect_of(theirs: Iterable[str]) -> str:
    """What wrote these names, without prefix: the original's "video" or "image" model, or "unknown"."""
    return names.dialect_of(theirs, _MARKS)


def to_ours(theirs: Collection[str]) -> dict[str, str]:
    """{our name: their name}. Raises InputError when two of theirs become one of ours."""
    return names.to_ours([name for name in theirs if name not in LEFT_OUT], [*_RULES, *_INNER])
