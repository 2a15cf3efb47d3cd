"""Which files of a folder are videos or images."""

from __future__ import annotations

import os
from pathlib import Path

from mg.errors import InputError
from mg.io import image, video


def is_video(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in video.SUFFIXES


def is_image(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in image.SUFFIXES


def find_media(source: Path | str, leave_out: Path | str) -> list[Path]:
    """The file `source`, or all videos and images below the folder `source`, sorted; nothing below `leave_out`.

    Raises InputError when there is none.
    """
    if not str(source):
        raise InputError("the input is an empty name; name a file or folder")
    source = Path(source)
    if not os.path.exists(source):
        raise InputError(f"no file or folder '{source}'; check the path")
    known = f"videos ({' '.join(video.SUFFIXES)}) or images ({' '.join(image.SUFFIXES)})"
    if not source.is_dir():
        if not (is_video(source) or is_image(source)):
            raise InputError(f"'{source}' has the suffix '{source.suffix}'; give {known}")
        return [source]
    skipped = Path(leave_out).resolve()
    if skipped == source.resolve() or skipped in source.resolve().parents:
        raise InputError(f"results cannot go to '{leave_out}': it holds the input; name another output folder")
    found = [
        path
        for path in sorted(source.rglob("*"))
        if not path.is_dir() and not path.name.startswith(".") and (is_video(path) or is_image(path))
    ]
    found = [path for path in found if skipped not in path.resolve().parents]
    if not found:
        raise InputError(f"folder '{source}' holds no media; put {known} there")
    return found
