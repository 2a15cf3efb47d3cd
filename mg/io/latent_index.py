"""Folders of latents: which files are there, and the index of a finished cache."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from mg.errors import InputError
from mg.files import files_below, require_file, whole_file
from mg.io.latents import FAMILY, SUFFIX, read_header

logger = logging.getLogger(__name__)

INDEX = "index.json"
_NEEDED = {"file", "shape", "weights_sha256"}


def find_latents(folder: Path | str, suffixes: tuple[str, ...] = (SUFFIX,)) -> list[Path]:
    """All files below `folder` with a suffix of latents that are not hidden, sorted. InputError if there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is no folder; name a cache of latents")
    found = files_below(folder, suffixes)
    if not found:
        raise InputError(f"folder '{folder}' holds no latents ({' '.join(suffixes)}); scripts/encode.py makes some")
    return found


def write_index(folder: Path | str) -> list[dict[str, Any]]:
    """Write the index of a cache, a row for every file of latents in it; returns the rows.

    A file that is none of ours, or damaged, is named in the log and left out.
    """
    rows = []
    for path in find_latents(folder):
        try:
            header, shape = read_header(path)
        except InputError as error:
            logger.warning("left out of the index of '%s': %s", folder, error)
            continue
        row = {"file": path.relative_to(folder).as_posix(), "source": header.source, "shape": list(shape)}
        recorded = ("frames", "height", "width", "fps", "weights_sha256")
        rows.append({**row, **{field: getattr(header, field) for field in recorded}})
    with whole_file(Path(folder) / INDEX) as part:
        part.write_text(json.dumps({"family": FAMILY, "clips": rows}, indent=1) + "\n")
    return rows


def read_index(folder: Path | str) -> list[dict[str, Any]]:
    """Rows of a cache's index: file, source, shape, frames, height, width, fps, weights_sha256.

    Raises InputError if there is none.
    """
    path = require_file(Path(folder) / INDEX, "the index of a finished cache")
    try:
        content = json.loads(path.read_text())
        if content["family"] != FAMILY or not all(set(row) >= _NEEDED for row in content["clips"]):
            raise ValueError("it lists no latents")
        return content["clips"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"'{path}' is no index of latents ({error}); run scripts/encode.py again") from None
