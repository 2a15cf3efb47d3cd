"""The files that a command works on, and what their results are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mg.data.file_lists import names_below, read_csv, require_folder
from mg.errors import InputError
from mg.io.clip import MEDIA, find_media

SAMPLE_CLIP = Path(__file__).with_name("sample_clip.mp4")


@dataclass(frozen=True)
class Source:
    """A file, its name in reports, and the name of its results, both relative, the latter without suffix."""

    path: Path
    name: str
    stem: str


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
        names = list(dict.fromkeys(names_below(root, csv_path, read_csv(csv_path, "video", MEDIA))))
    else:
        given = video_folder if source is None else source
        root, files = Path(given), find_media(given, leave_out=output)
        root = root if root.is_dir() else root.parent
        names = [file.relative_to(root).as_posix() for file in files]
    stems = [Path(name).with_suffix("").as_posix() for name in names]
    stems = stems if len(set(stems)) == len(stems) else names
    return [Source(root / name, name, stem) for name, stem in zip(names, stems)]


def sample_clip() -> Source:
    """The clip that ships with the package: three patterned balls rolling over a floor, 64 frames of 256x256."""
    return Source(SAMPLE_CLIP, SAMPLE_CLIP.name, SAMPLE_CLIP.stem)
