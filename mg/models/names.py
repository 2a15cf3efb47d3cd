"""Names of tensors in files that other programs wrote, as rules that give ours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from mg.errors import InputError

# (pattern, replacement), applied in order, each to the whole name. "<n>" in what comes out is a level counted from the
# other end: the number of the last `up` level minus n.
Rules = Sequence[tuple[str, str]]

_PREFERRED = "diffusion_pytorch_model.safetensors"


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


def below(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """{name without the prefix: whole name} of those that have it; of all when none has."""
    names = list(names)
    inside = {name[len(prefix) :]: name for name in names if name.startswith(prefix)}
    return inside or {name: name for name in names}


def find_file(source: Path | str) -> Path:
    """The weights file that is meant: `source` itself, or, of a folder, diffusers' file or the only .safetensors file.

    Raises InputError for a folder with none or several.
    """
    source = Path(source)
    if not source.is_dir():
        return source
    files = sorted(source.glob("*.safetensors"))
    if source / _PREFERRED in files:
        return source / _PREFERRED
    if len(files) != 1:
        raise InputError(f"folder '{source}' holds {len(files)} .safetensors files; name the one that is meant")
    return files[0]
