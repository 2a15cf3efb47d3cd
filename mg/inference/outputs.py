"""What is written of each clip: reconstruction, side by side, contact sheet, and folders of clips with equal names."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.files import TogetherWritten
from mg.inference.clips import Source
from mg.io import image, video
from mg.io.clip import Clip
from mg.io.pictures import contact_sheet, side_by_side
from mg.models.session import Session

SAVED = ("none", "side_by_side", "all")
_SHEET_COLUMNS = 6


@dataclass(frozen=True)
class Saving:
    """What is written beside the figures.

    videos: "none", "side_by_side" (and contact sheets), or "all" (reconstructions as well).
    folders: originals and reconstructions also as clips of equal names, in folders of their own.
    images: a session of a model that reconstructs each frame by itself too, or None. output_fps: the constant rate of
    videos; None: the source's, or its times where it varies.
    resume: go on with what an interrupted run has finished.
    frames: every frame as a PNG too, numbered from 0, in NAME/gth and NAME/rec.
    """

    videos: str = "all"
    folders: bool = False
    images: Session | None = None
    output_fps: Fraction | None = None
    resume: bool = False
    frames: bool = False

    def __post_init__(self):
        if self.videos not in SAVED:
            raise InputError(f"save_videos={self.videos!r} is unknown; use one of {', '.join(SAVED)}")

    def folders_beside(self, output: Path) -> list[Path]:
        """The other folders that are written to."""
        return clip_folders(output)[: 2 + bool(self.images)] if self.folders else []

    def about(self) -> dict[str, object]:
        """What is written, in words that a later run can compare."""
        return {
            "save_videos": self.videos,
            "save_folders": self.folders,
            "spatial": self.images is not None,
            "output_fps": str(self.output_fps),
            "save_frames": self.frames,
        }


class Outputs:
    """The files of one clip, below `folder`; a context, and when it ends well all get their names, else none does.

    Of `saving.folders`, original, reconstruction and, if given, spatial reconstruction go to FOLDER_ori, FOLDER_rec and
    FOLDER_spatial.
    """

    def __init__(self, folder: Path, source: Source, clip: Clip, saving: Saving):
        self.source, self.clip, self.target = source, clip, folder / source.stem
        suffix = ".png" if clip.fps is None else ".mp4"
        self.recon = _with(self.target, f"_recon{suffix}") if saving.videos == "all" else None
        self.sides = _with(self.target, f"_side_by_side{suffix}") if saving.videos != "none" else None
        self.sheet = _with(self.target, "_sheet.png") if saving.videos != "none" else None
        self.parts = [part / f"{source.stem}{suffix}" if saving.folders else None for part in clip_folders(folder)]
        self.shown = {round(index) for index in np.linspace(0, max(clip.total - 1, 0), _SHEET_COLUMNS)}
        self.singles = self.target if saving.frames else None
        self.pairs, self.count, self.writers = {}, 0, {}
        self.stack, self.output_fps = ExitStack(), saving.output_fps
        self.files = self.stack.enter_context(TogetherWritten())

    def add(self, original: np.ndarray, recon: np.ndarray, spatial: np.ndarray | None) -> None:
        """The next frame of each, (H, W, 3) uint8; spatial: of the image model alone."""
        self._write(self.recon, recon)
        self._write(self.sides, side_by_side(original, recon) if self.sides else None)
        for path, frame in zip(self.parts, (original, recon, spatial)):
            self._write(path, frame)
        for name, frame in (("gth", original), ("rec", recon)) if self.singles else ():
            image.write_image(self.files.part(self.singles / name / f"{self.count}.png"), frame)
        if self.count in self.shown and self.sheet:
            self.pairs[self.count] = (original, recon)
        self.count += 1

    def draw_sheet(self, figures: str) -> None:
        """After the last frame: write the contact sheet, with the figures in its title."""
        if self.sheet:
            height, width = self.clip.size
            frames = "" if self.clip.fps is None else f"{self.count} frames of "
            title = f"{Path(self.source.name).name}: {frames}{width}x{height}, {figures}"
            labels = ["" if self.clip.fps is None else f"frame {index}" for index in self.pairs]
            image.write_image(self.files.part(self.sheet), contact_sheet(title, labels, list(self.pairs.values())))

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)

    def _write(self, path: Path | None, frame: np.ndarray | None) -> None:
        if path is None or frame is None:
            return
        if self.clip.fps is None:
            image.write_image(self.files.part(path), frame)
            return
        if path not in self.writers:
            timing = {"times": self.clip.times, "output_fps": self.output_fps}
            writer = video.write_video(self.files.part(path), self.clip.fps, **timing)
            self.writers[path] = self.stack.enter_context(writer)
        self.writers[path].write(frame)


def clip_folders(folder: Path) -> list[Path]:
    """Where originals, reconstructions and spatial reconstructions go under equal names."""
    return [_with(folder, ending) for ending in ("_ori", "_rec", "_spatial")]


def _with(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
