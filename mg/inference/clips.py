"""The files that a command works on, what their results are called, and opening one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from mg.data.file_lists import MEDIA, read_csv, require_folder
from mg.errors import InputError
from mg.inference.options import Options
from mg.io import image, video
from mg.io.media import find_media, is_image
from mg.models.tae.inputs import MIN_SIZE


@dataclass(frozen=True)
class Source:
    """A file, its name in reports, and the name of its results, both relative, the latter without suffix."""

    path: Path
    name: str
    stem: str


@dataclass(frozen=True)
class Clip:
    """A source that is open.

    frames: (H, W, 3) uint8, as the options take them. total: about how many there are. fps: None of an image.
    """

    source: Source
    frames: Iterable[np.ndarray]
    total: int
    size: tuple[int, int]
    fps: Fraction | None


def find_sources(
    output: Path | str,
    source: Path | str | None = None,
    csv_path: Path | str | None = None,
    video_folder: Path | str | None = None,
) -> list[Source]:
    """The file or folder `source`, or what a CSV's column "video" lists in `video_folder`, or all there is in it.

    A file listed twice counts once. A result has its source's relative name without the suffix, or, if two would share
    one, all keep their suffix. Nothing is taken from below `output`.
    """
    if (source is None) == (video_folder is None) or (csv_path is not None and video_folder is None):
        raise InputError("give either --input, or --video_folder, with --csv_path if only some of it is wanted")
    if csv_path is not None:
        root = require_folder(video_folder, "video_folder")
        names = list(dict.fromkeys(Path(name).as_posix() for name in read_csv(csv_path, "video", MEDIA)))
    else:
        given = video_folder if source is None else source
        root, files = Path(given), find_media(given, leave_out=output)
        root = root if root.is_dir() else root.parent
        names = [file.relative_to(root).as_posix() for file in files]
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise InputError(f"'{csv_path}' names '{outside[0]}', which is not below video_folder; use relative names")
    stems = [Path(name).with_suffix("").as_posix() for name in names]
    stems = stems if len(set(stems)) == len(stems) else names
    return [Source(root / name, name, stem) for name, stem in zip(names, stems)]


def open_clip(source: Source, options: Options) -> Clip:
    """Open a video or an image; frames are read as they are asked for.

    Raises InputError for a file that cannot be read, and for frames that are too small.
    """
    if is_image(source.path):
        fps, total, frames = None, 1, iter([image.read_image(source.path)])
    else:
        info = video.probe(source.path)
        fps, total, frames = info.fps / options.stride, options.count(info.frames), video.read_frames(source.path)
    frames = options.taken(frames)
    first = next(frames)
    height, width, _ = first.shape
    if min(height, width) < MIN_SIZE:
        raise InputError(
            f"'{source.path}' has frames of {width}x{height}; sides of at least {MIN_SIZE} are needed: use --image_size"
        )
    return Clip(source, chain([first], frames), total, (height, width), fps)
