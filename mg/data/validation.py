"""The clips that a training is judged by: every file once, always the same frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mg.data.clip import read_validation_clip
from mg.data.config import DataConfig
from mg.data.index import find_files
from mg.errors import InputError


@dataclass(frozen=True)
class ValidationClip:
    """frames: (T, H, W, 3) uint8, or None for a file that cannot be read, `reason` saying why.

    short: the file has fewer frames, so the last one repeats.
    """

    path: Path
    frames: np.ndarray | None
    short: bool = False
    reason: str | None = None


def validation_clips(config: DataConfig) -> Iterator[ValidationClip]:
    """Each video's first sample_n_frames frames, then each image: centres, never flipped.

    With mixed_strategy=image_only and no image, each video's first frame. Raises InputError if there is nothing.
    """
    files = find_files(config)
    frames = 1 if config.mixed_strategy == "image_only" else config.sample_n_frames
    for path in files.videos:
        yield _read(path, frames, config)
    for path in files.images:
        yield _read(path, 1, config)


def _read(path: Path, frames: int, config: DataConfig) -> ValidationClip:
    try:
        return ValidationClip(path, *read_validation_clip(path, frames, config))
    except (InputError, OSError) as error:
        return ValidationClip(path, None, reason=str(error))
