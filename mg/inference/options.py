"""What is taken of each clip, and how it goes through the model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from mg.io.frames import resize_and_crop
from mg.errors import InputError
from mg.models.tae.inputs import MIN_SIZE
from mg.models.tiling.stream import Tiles

MAX_SIZE = 16384


@dataclass(frozen=True)
class Options:
    """How inputs are encoded or reconstructed.

    num_frames: take this many frames from the start of each clip; None takes all.
    image_size: (height, width) to scale and crop to; None keeps the source's.
    sample: a sample of the posterior, drawn with `seed` and the input's name, instead of its mean.
    tiles: how to tile in time and space; None picks windows over time by the size of the frames, which do not overlap,
    and leaves frames whole.
    stride: take every so many-th frame.
    """

    num_frames: int | None = None
    image_size: tuple[int, int] | None = None
    sample: bool = False
    seed: int = 0
    tiles: Tiles | None = None
    stride: int = 1

    def __post_init__(self):
        if self.num_frames is not None and not 1 <= self.num_frames <= sys.maxsize:
            raise InputError(f"num_frames={self.num_frames} must be at least 1; leave it out for all frames")
        if self.image_size is not None and not all(MIN_SIZE <= side <= MAX_SIZE for side in self.image_size):
            raise InputError(
                f"image_size={self.image_size} must be from {MIN_SIZE} to {MAX_SIZE}; leave it out to keep the size"
            )
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must be at least 0")
        if not 1 <= self.stride <= sys.maxsize:
            raise InputError(f"stride={self.stride} must be at least 1, which takes every frame")

    def count(self, frames: int) -> int:
        """How many frames are taken of so many."""
        return min(-(-frames // self.stride), self.num_frames or frames)

    def taken(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames that are taken, in the size asked for."""
        chosen = islice(islice(frames, 0, None, self.stride), self.num_frames)
        return chosen if self.image_size is None else (resize_and_crop(frame, *self.image_size) for frame in chosen)
