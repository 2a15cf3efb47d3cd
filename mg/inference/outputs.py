"""What is written of each clip: reconstruction, side by side, contact sheet, and folders of clips with equal names."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np

from mg.inference.clips import Source
from mg.io import image, video
from mg.io.clip import Clip
from mg.io.pictures import contact_sheet, side_by_side

SAVED = ("none", "side_by_side", "all")
_SHEET_COLUMNS = 6


class Outputs:
    """The files of one clip, below `folder`; a context, and only when it ends well do they get their names.

    save: "none", "side_by_side" with the contact sheet, or "all" with the reconstruction as well.
    folders: also the original, reconstruction and, if given, spatial reconstruction, to FOLDER_ori, FOLDER_rec and
    FOLDER_spatial. output_fps: the constant rate of videos; None: the clip's, or its times where it varies.
    """

    def __init__(
        self, folder: Path, source: Source, clip: Clip, save: str, folders: bool, output_fps: Fraction | None = None
    ):
        self.source, self.clip, self.target = source, clip, folder / source.stem
        suffix = ".png" if clip.fps is None else ".mp4"
        self.recon = _with(self.target, f"_recon{suffix}") if save == "all" else None
        self.sides = _with(self.target, f"_side_by_side{suffix}") if save != "none" else None
        self.sheet = _with(self.target, "_sheet.png") if save != "none" else None
        self.parts = [part / f"{source.stem}{suffix}" if folders else None for part in clip_folders(folder)]
        self.shown = {round(index) for index in np.linspace(0, max(clip.total - 1, 0), _SHEET_COLUMNS)}
        self.pairs, self.count, self.writers = {}, 0, {}
        self.stack, self.output_fps = ExitStack(), output_fps

    def add(self, original: np.ndarray, recon: np.ndarray, spatial: np.ndarray | None) -> None:
        """The next frame of each, (H, W, 3) uint8; spatial: of the image model alone."""
        self._write(self.recon, recon)
        self._write(self.sides, side_by_side(original, recon) if self.sides else None)
        for path, frame in zip(self.parts, (original, recon, spatial)):
            self._write(path, frame)
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
            image.write_image(self.sheet, contact_sheet(title, labels, list(self.pairs.values())))

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.__exit__(*error)

    def _write(self, path: Path | None, frame: np.ndarray | None) -> None:
        if path is None or frame is None:
            return
        if self.clip.fps is None:
            image.write_image(path, frame)
            return
        if path not in self.writers:
            timing = {"times": self.clip.times, "output_fps": self.output_fps}
            self.writers[path] = self.stack.enter_context(video.write_video(path, self.clip.fps, **timing))
        self.writers[path].write(frame)


def clip_folders(folder: Path) -> list[Path]:
    """Where originals, reconstructions and spatial reconstructions go under equal names."""
    return [_with(folder, ending) for ending in ("_ori", "_rec", "_spatial")]


def _with(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
