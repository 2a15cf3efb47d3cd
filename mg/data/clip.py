"""One clip out of one file: which frames, which part of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mg.data.augment import augment
from mg.data.config import DataConfig
from mg.io.by_number import read_chosen
from mg.io.clip import Sampling, is_image, read_clip
from mg.io.frames import covering_size, glide, resize_and_crop
from mg.io.image import read_image
from mg.io.index import Index


def read_training_clip(
    path: Path, shape: tuple[int, int, int], config: DataConfig, choices: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """A clip of `path` from a random start, all frames cropped and changed alike; of an image, if it has more than one
    frame, from windows that glide over it.

    shape: frames, rows and columns, (T, H, W). `choices` decides everything random. Returns (T, H, W, 3) uint8 and
    whether the file has fewer frames, in which case the last one repeats. Raises InputError for an unreadable file.
    """
    frames, height, width = shape
    pictures = _read(path, frames, config, choices)
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
    clip = augment(clip, config, choices)
    return _hold_last(clip, frames), len(clip) < frames


def read_validation_clip(path: Path, frames: int, config: DataConfig) -> np.ndarray:
    """The first `frames` frames of `path`, or as many as it has, their centres; the very ones that inference reads."""
    return read_clip(path, Sampling(stride=config.sample_stride, num_frames=frames, image_size=config.image_size))


def frame_numbers(total: int, frames: int, stride: int, choices: np.random.Generator) -> range:
    """Which `frames` of a video's `total` frames to take, `stride` apart, from a random start.

    Starts where all fit. A video that is too short is taken from its first frame on, and gives fewer.
    """
    room = total - (frames - 1) * stride
    start = int(choices.integers(room)) if room > 1 else 0
    return range(start, total, stride)[:frames]


def window_numbers(index: Index, path: Path, frames: int, stride: int, choices: np.random.Generator) -> Sequence[int]:
    """The same of a video's index. Where the rate varies and `stride` is above 1, what is shown at so many mean frames'
    distance, from a random frame on."""
    timing = index.timing(path) if stride > 1 else None
    if timing is None or timing.even:
        return frame_numbers(index.frames, frames, stride, choices)
    fps = timing.fps / stride
    room = bisect_left(timing.times, timing.times[-1] - (frames - 1) / fps, hi=index.frames)
    start = int(choices.integers(room)) if room > 1 else 0
    return timing.shown_at(fps, timing.times[start], frames)


def _read(path: Path, frames: int, config: DataConfig, choices: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) of the file's own size, T at most `frames`."""
    if is_image(path):
        return read_image(path)[None]

    def choose(index: Index) -> Sequence[int]:
        return window_numbers(index, path, frames, _stride(index.frames, frames, config, choices), choices)

    folder = None if config.index_folder is None else Path(config.index_folder)
    return read_chosen(path, choose, folder, decord=config.video_reader == "decord")


def _stride(total: int, frames: int, config: DataConfig, choices: np.random.Generator) -> int:
    """From each frame of a clip to the next: one of those at which `total` frames hold it, else the least."""
    if not config.stride_buckets:
        return config.sample_stride
    fitting = [stride for stride in config.stride_buckets if (frames - 1) * stride < total]
    return fitting[choices.integers(len(fitting))] if fitting else min(config.stride_buckets)


def _hold_last(clip: np.ndarray, frames: int) -> np.ndarray:
    return np.concatenate([clip, np.repeat(clip[-1:], frames - len(clip), axis=0)])
