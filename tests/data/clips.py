"""Clips whose grey value tells the file and the frame: small, lossy, but separable."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from mg.io.image import write_image
from mg.io.video import write_video

LEVELS = 8  # grey levels from one frame to the next


def index_clip(path: Path, frames: int, height: int = 32, width: int = 48, first: int = 0) -> Path:
    """A video whose frame k is grey 8 * (first + k) + 4."""
    assert LEVELS * (first + frames) < 256
    with write_video(path, Fraction(24)) as file:
        for index in range(first, first + frames):
            file.write(np.full((height, width, 3), LEVELS * index + LEVELS // 2, np.uint8))
    return path


def index_image(path: Path, index: int, height: int = 32, width: int = 48) -> Path:
    """An image of the grey value that frame number `index` has."""
    write_image(path, np.full((height, width, 3), LEVELS * index + LEVELS // 2, np.uint8))
    return path


def indices(clip: np.ndarray) -> list[int]:
    """The frame numbers that a (3, T, H, W) clip in [-1, 1] shows."""
    levels = (np.asarray(clip, np.float64).mean((0, 2, 3)) + 1) / 2 * 255
    return [int(level // LEVELS) for level in levels]
