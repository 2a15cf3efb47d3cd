"""The clips that a training is judged by: every file once, always the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mg.data.clip import read_validation_clip
from mg.data.config import DataConfig
from mg.data.file_lists import find_files
from mg.errors import InputError


@dataclass(frozen=True)
class ValidationClip:
    """frames: (T, H, W, 3) uint8, or None for a file that cannot be read, `reason` saying why."""

    path: Path
    frames: np.ndarray | None
    reason: str | None = None


def validation_clips(config: DataConfig, rank: int = 0, ranks: int = 1) -> Iterator[ValidationClip]:
    """Each video's first sample_n_frames frames, or as many as it has, then each image: centres, never flipped.

    rank, ranks: take every `ranks`-th file, from file `rank` on. With mixed_strategy=image_only and no image, each
    video's first frame. Raises InputError if there is nothing.
    """
    files = find_files(config)
    frames = 1 if config.mixed_strategy == "image_only" else config.sample_n_frames
    jobs = [(path, frames) for path in files.videos] + [(path, 1) for path in files.images]
    for path, length in jobs[rank::ranks]:
        yield _read(path, length, config)


def _read(path: Path, frames: int, config: DataConfig) -> ValidationClip:
    try:
        return ValidationClip(path, read_validation_clip(path, frames, config))
    except (InputError, OSError) as error:
        return ValidationClip(path, None, reason=str(error))
