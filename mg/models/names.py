"""Names of tensors in files that other programs wrote, as rules that give ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from mg.errors import InputError

# (pattern, replacement), applied in order, each to the whole name. "<n>" in what comes out is a level counted from the
# other end: the number of the last `up` level minus n.
Rules = Sequence[tuple[str, str]]

# diffusers' name, its list of shards, a variant such as fp16, and then whatever there is.
_IN_FOLDERS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index*.json")
_IN_FOLDERS += ("diffusion_pytorch_model.*.safetensors", "*.safetensors", "*.bin", "*.pt", "*.pth")
_SHARD = re.compile(r"-\d+-of-\d+\.")


def to_ours(names: Collection[str], rules: Rules) -> dict[str, str]:
    """{our name: their name}. Raises InputError when two of theirs become one of ours."""
    renamed: dict[str, str] = {}
    last_level = max((int(m[1]) for name in names if (m := re.search(r"\.up\.(\d+)\.", name))), default=0)
    for theirs in names:
        ours = theirs
        for pattern, replacement in rules:
            ours = re.sub(pattern, replacement, ours)
        ours = re.sub(r"<(\d+)>", lambda level: str(last_level - int(level[1])), ours)
        if ours in renamed:
            raise InputError(f"both '{renamed[ours]}' and '{theirs}' mean '{ours}'; the file mixes two layouts")
        renamed[ours] = theirs
    return renamed


def dialect_of(names: Iterable[str], marks: Mapping[str, str]) -> str:
    """The first dialect whose mark, a name that only it has, is among `names`; "unknown" when none is."""
    names = set(names)
    return next((dialect for dialect, mark in marks.items() if mark in names), "unknown")


def inside(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """{name without the prefix: whole name} of those that have it."""
    return {name[len(prefix) :]: name for name in names if name.startswith(prefix)}


def below(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """The same; of all when none has it."""
    names = list(names)
    return inside(prefix, names) or {name: name for name in names}


def find_file(source: Path | str) -> Path:
    """The weights file that is meant: `source` itself, or what a folder has one of, the first of `_IN_FOLDERS` that
    there is; of a folder without weights, what its subfolder `vae` has, as that of a pipeline of diffusers.

    Raises InputError for a folder with none or several.
    """
    source = Path(source)
    if not source.is_dir():
        return source
    for pattern in _IN_FOLDERS:
        found = [path for path in sorted(source.glob(pattern)) if not _SHARD.search(path.name)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found[:5])
            raise InputError(
                f"folder '{source}' holds {len(found)} weights files ({names}); name the one that is meant"
            )
    if (source / "vae").is_dir():
        return find_file(source / "vae")
    raise InputError(f"folder '{source}' holds no weights file (.safetensors, .bin, .pt, .pth); name one")
