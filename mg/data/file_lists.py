"""Which files there are to learn from: a CSV or a folder becomes lists of videos and of images."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mg.data.config import DataConfig
from mg.errors import InputError
from mg.files import files_below, require_file
from mg.io import image
from mg.io.clip import MEDIA, is_image, is_video

logger = logging.getLogger(__name__)

_ALSO_CALLED = {"video": "path"}  # what other programs call a column


@dataclass(frozen=True)
class Files:
    """The files in use, in an order that is always the same. Without images, single frames come from videos."""

    videos: tuple[Path, ...]
    images: tuple[Path, ...]


def find_files(config: DataConfig) -> Files:
    """The videos and images that `config` takes; files that its strategy never reads are left out.

    Raises InputError for a missing folder or CSV, for a CSV's structure, and when nothing is left.
    """
    found = []
    if config.video_folder is not None:
        found += _list_files(config.video_folder, "video_folder", config.csv_path, "video", MEDIA)
    if config.image_folder is not None:
        found += _list_files(config.image_folder, "image_folder", config.image_csv_path, "image", image.SUFFIXES)
    videos, images = [p for p in found if is_video(p)], [p for p in found if is_image(p)]
    where = config.csv_path or config.video_folder or config.image_csv_path or config.image_folder
    if config.takes_videos and not videos:
        raise InputError(f"'{where}' has no video, but mixed_strategy={config.mixed_strategy} takes videos; add some")
    if config.moving_image_ratio > 0 and not images:
        raise InputError(f"moving_image_ratio={config.moving_image_ratio}, but there is no image; give image_folder")
    used = Files(
        videos=() if images and not config.takes_videos else tuple(videos),
        images=tuple(images) if config.takes_images else (),
    )
    return used


def scan_folder(folder: Path | str, field: str, suffixes: tuple[str, ...]) -> list[Path]:
    """All files below `folder` with one of the suffixes that are not hidden, sorted.

    field: what the folder is called in errors. Raises InputError when there is no folder, or no such file in it.
    """
    found = files_below(require_folder(folder, field), suffixes, tell=True)
    if not found:
        raise InputError(f"{field}='{folder}' holds no file with a suffix {' '.join(suffixes)}; put some there")
    return found


def read_csv(path: Path | str, column: str, suffixes: tuple[str, ...]) -> list[str]:
    """The names in one column of a CSV (UTF-8, with a header), in order. Other columns are not looked at.

    The column "video" may be called "path" too.

    Raises InputError naming the CSV, and its lines that name no file with one of the suffixes.
    """
    path = require_file(path, "a CSV file")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            called = next((name for name in (column, _ALSO_CALLED.get(column)) if name in header), None)
            if called is None:
                raise InputError(
                    f"'{path}' has no column '{column}' but {', '.join(header) or 'an empty first line'}; "
                    f"its first line must name the columns, one of them '{column}'"
                )
            place = header.index(called)
            names = [(rows.line_num, row[place].strip() if place < len(row) else "") for row in rows if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' is no CSV in UTF-8 ({error}); save it as one") from None
    if not names:
        raise InputError(f"'{path}' lists no file: there is no row below its header; add some")
    wrong = [str(line) for line, name in names if Path(name).suffix.lower() not in suffixes or "\0" in name]
    if wrong:
        some = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise InputError(
            f"'{path}' names no file with a suffix {' '.join(suffixes)} in line {some}; complete or remove it"
        )
    return [name for _, name in names]


def root_of(csv_path: Path | str) -> str:
    """The folder that holds all videos of a CSV whose names are absolute. Raises InputError for other names."""
    names = read_csv(csv_path, "video", MEDIA)
    for name in names:
        if not Path(name).is_absolute():
            raise InputError(f"'{csv_path}' names '{name}', which is relative; give --video_folder, where it lies")
    return os.path.commonpath([Path(name).parent for name in names])


def names_below(folder: Path, csv_path: Path | str, names: Iterable[str]) -> list[str]:
    """The names of a CSV relative to `folder`, in which absolute ones lie too. InputError for what lies elsewhere."""
    relative = []
    for name in names:
        place = Path(name)
        if place.is_absolute() and Path(folder).absolute() in place.parents:
            place = place.relative_to(Path(folder).absolute())
        if place.is_absolute() or ".." in place.parts:
            raise InputError(
                f"'{csv_path}' names '{name}', which is not below '{folder}'; name what is there, without .."
            )
        relative.append(place.as_posix())
    return relative


def _list_files(
    folder: Path | str, field: str, csv_path: Path | str | None, column: str, suffixes: tuple[str, ...]
) -> list[Path]:
    """What a CSV lists relative to `folder`, or all there is. A listed file that is missing shows when it is read."""
    if csv_path is None:
        return scan_folder(folder, field, suffixes)
    folder = require_folder(folder, field)
    return [folder / name for name in names_below(folder, csv_path, read_csv(csv_path, column, suffixes))]


def require_folder(folder: Path | str, field: str) -> Path:
    """`folder` as a path, if there is one; field: what it is called in errors."""
    if not Path(folder).is_dir():
        raise InputError(f"{field}='{folder}' is no folder; check the path")
    return Path(folder)
