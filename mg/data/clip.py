"""One clip out of one file: which frames, which part of them."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from mg.data.config import DataConfig
from mg.io.frames import covering_size, glide, resize_and_crop
from mg.io.image import read_image
from mg.io.media import is_image
from mg.io.video import probe, read_frames, read_frames_at


def read_training_clip(
    path: Path, frames: int, config: DataConfig, choices: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """A clip of `path` from a random start, all frames cropped and flipped alike; of an image, if it has more than one
    frame, from windows that glide over it.

    `choices` decides everything random. Returns (T, H, W, 3) uint8 and whether the file is too short for `frames`
    frames, in which case the last one repeats. Raises InputError when the file cannot be read.
    """
    pictures = _read(path, frames, config.sample_stride, choices)
    height, width = config.image_size
    shorter = (height, width)
    if config.resize_to is not None:
        shorter = (int(choices.integers(config.resize_to[0], config.resize_to[1] + 1)),) * 2
    rows, columns = covering_size(pictures.shape[1:3], *shorter)
    scaled = (resize_and_crop(picture, rows, columns) for picture in pictures)
    if frames > 1 and is_image(path):
        clip = glide(next(scaled), frames, height, width, choices)
    else:
        top, left = (rows - height) // 2, (columns - width) // 2
        if config.random_crop:
            top, left = int(choices.integers(rows - height + 1)), int(choices.integers(columns - width + 1))
        clip = np.stack([picture[top : top + height, left : left + width] for picture in scaled])
    if config.flip and choices.random() < 0.5:
        clip = clip[:, :, ::-1]
    return _hold_last(clip, frames), len(clip) < frames


def read_validation_clip(path: Path, frames: int, config: DataConfig) -> np.ndarray:
    """The first `frames` frames of `path`, or as many as it has, their centres; the very ones that inference reads."""
    if is_image(path):
        pictures = [read_image(path)]
    else:
        pictures = list(islice(read_frames(path), 0, (frames - 1) * config.sample_stride + 1, config.sample_stride))
    return np.stack([resize_and_crop(picture, *config.image_size) for picture in pictures])


def frame_numbers(total: int, frames: int, stride: int, choices: np.random.Generator) -> range:
    """Which `frames` of a video's `total` frames to take, `stride` apart, from a random start.

    Starts where all fit. A video that is too short is taken from its first frame on, and gives fewer.
    """
    room = total - (frames - 1) * stride
    start = int(choices.integers(room)) if room > 1 else 0
    return range(start, total, stride)[:frames]


def _read(path: Path, frames: int, stride: int, choices: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) of the file's own size, T at most `frames`."""
    if is_image(path):
        return read_image(path)[None]
    return read_frames_at(path, frame_numbers(_frame_count(str(path)), frames, stride, choices))


def _hold_last(clip: np.ndarray, frames: int) -> np.ndarray:
    return np.concatenate([clip, np.repeat(clip[-1:], frames - len(clip), axis=0)])


@lru_cache(maxsize=1_000_000)
def _frame_count(path: str) -> int:
    """Frames of a video: reads the file once (its packets, not their pictures), so once in a process is enough.

    It took 4 to 60 ms for clips of 40 to 390 frames from 320x240 to 1280x720 on a local disk.
    """
    return probe(path).frames
