"""Weights of nano models, and clips for them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from conftest import NANO, randomise

from mg.io.video import write_video
from mg.models import families
from mg.models.session import Session
from mg.models.tae.tae import TemporalAutoencoder


def save_nano(path: Path, seed: int = 0) -> Path:
    """A weights file in which every weight is random."""
    randomise(TemporalAutoencoder(NANO), seed).save(path)
    return path


def nano_session(path: Path, seed: int = 0, **sizes: object) -> Session:
    """A model of a new weights file at work."""
    return Session(families.load(save_nano(path, seed), **sizes))


def moving_frames(count: int, height: int = 24, width: int = 16) -> list[np.ndarray]:
    """Coloured squares that move a pixel to the right with each frame."""
    still = np.random.default_rng(0).integers(0, 256, (-(-height // 8), -(-width // 8), 3))
    still = np.kron(still, np.ones((8, 8, 1))).astype(np.uint8)
    return [np.ascontiguousarray(np.roll(still, index, 1)[:height, :width]) for index in range(count)]


def write_clip(path: Path, frames: Sequence[np.ndarray], fps: Fraction = Fraction(25), **options: object) -> Path:
    """Frames as an MP4."""
    with write_video(path, fps, **options) as file:
        for frame in frames:
            file.write(frame)
    return path
