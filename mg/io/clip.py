"""Clips of media files, videos and images: which files there are, and one opening of each for all that is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, count, islice
from math import ceil
from pathlib import Path

import numpy as np

from mg.checks import require_whole
from mg.errors import InputError
from mg.files import files_below
from mg.io import image, video
from mg.io.frames import SIDES, covering_size, crop, resize_and_crop
from mg.io.image import read_image
from mg.io.video import Video

MEDIA = video.SUFFIXES + image.SUFFIXES
MOST_FPS = 1000


@dataclass(frozen=True)
class Sampling:
    """What is taken of each clip, in this order.

    sample_fps: the frame that is shown at each 1/sample_fps seconds: a video that is slower repeats frames, a faster
        one drops some; None takes every frame. stride: every so many-th of these. num_frames: so many from the start;
        None takes all. None of them concerns images.
    image_size: (height, width) to scale to and crop from the centre; None keeps the size. Or, instead of it,
    resolution: scale to this length of the shorter side; crop_size: cut this square out of the centre.
    """

    sample_fps: Fraction | None = None
    stride: int = 1
    num_frames: int | None = None
    image_size: tuple[int, int] | None = None
    resolution: int | None = None
    crop_size: int | None = None

    def __post_init__(self):
        if self.sample_fps is not None and not 0 < self.sample_fps <= MOST_FPS:
            raise InputError(
                f"sample_fps={self.sample_fps} must be positive and at most {MOST_FPS}; leave it out for every frame"
            )
        require_whole("stride", self.stride, 1, sys.maxsize)
        if self.num_frames is not None:
            require_whole("num_frames", self.num_frames, 1, sys.maxsize)
        for name in ("image_size", "resolution", "crop_size"):
            value = getattr(self, name)
            for side in () if value is None else value if isinstance(value, tuple) else (value,):
                require_whole(name, side, *SIDES)
        if self.image_size and (self.resolution or self.crop_size):
            raise InputError(f"image_size={self.image_size} says what resolution and crop_size would; give either")
        if self.resolution and self.crop_size and self.crop_size > self.resolution:
            raise InputError(f"crop_size={self.crop_size} must not exceed resolution={self.resolution}")

    def sized(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 in the size asked for. Raises InputError for a frame that is smaller than crop_size."""
        if self.image_size is not None:
            return resize_and_crop(frame, *self.image_size)
        if self.resolution is not None:
            frame = resize_and_crop(frame, *covering_size(frame.shape[:2], self.resolution, self.resolution))
        if self.crop_size is None:
            return frame
        height, width, _ = frame.shape
        if min(height, width) < self.crop_size:
            raise InputError(f"frames of {width}x{height} are smaller than crop_size={self.crop_size}; use resolution")
        return crop(frame, self.crop_size, self.crop_size)

    def fps(self, fps: Fraction) -> Fraction:
        """Frames that are taken a second of a video of `fps`."""
        return (fps if self.sample_fps is None else Fraction(self.sample_fps)) / self.stride

    def count(self, frames: int) -> int:
        """How many frames are taken of so many that `sample_fps` leaves."""
        return min(-(-frames // self.stride), self.num_frames or frames)


@dataclass(frozen=True)
class Clip:
    """A file that is open.

    frames: what is taken, (H, W, 3) uint8 each, read as it is asked for, once. size: their (height, width).
    total: about how many are taken, of about `in_file`: packets of the file are counted, one a frame.
    fps: frames taken a second; None of an image.
    """

    path: Path
    frames: Iterator[np.ndarray]
    size: tuple[int, int]
    total: int
    in_file: int
    fps: Fraction | None


def open_clip(path: Path | str, sampling: Sampling = Sampling()) -> Clip:
    """Open a video or an image, once; only its first frame is decoded, the others as they are asked for.

    It is closed when the last frame was taken, or `frames` is dropped. Raises InputError for a file that cannot be
    read; `frames` does for damage that shows later.
    """
    path = Path(path)
    if is_image(path):
        frame = sampling.sized(read_image(path))
        return Clip(path, iter([frame]), frame.shape[:2], 1, 1, None)
    video = Video(path)
    fps, in_file, shown = sampling.fps(video.fps), video.count(), _shown(video, sampling)
    total = sampling.count(in_file if shown is None else len(shown))
    frames = _taken(video, shown, sampling)
    first = next(frames)
    return Clip(path, chain([first], frames), first.shape[:2], total, in_file, fps)


def read_clip(path: Path | str, sampling: Sampling) -> np.ndarray:
    """(T, H, W, 3) uint8: all frames that are taken, in memory; nothing is read of a video beyond the last of them.

    Raises InputError as `open_clip` and its frames do.
    """
    path = Path(path)
    if is_image(path):
        return sampling.sized(read_image(path))[None]
    video = Video(path)
    return np.stack(list(_taken(video, _shown(video, sampling), sampling)))


def shown_at(times: Sequence[Fraction], sample_fps: Fraction) -> list[int]:
    """Numbers of the frames that are shown at k / sample_fps seconds, for k = 0, 1, ... until the last one ends.

    times: when each frame begins, and last when the last one ends; the first at 0.
    """
    numbers = []
    for number, end in enumerate(times[1:]):
        numbers += [number] * (ceil(end * sample_fps) - len(numbers))
    return numbers


def is_video(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in video.SUFFIXES


def is_image(path: Path) -> bool:
    """By its suffix."""
    return path.suffix.lower() in image.SUFFIXES


def find_media(source: Path | str, leave_out: Path | str) -> list[Path]:
    """The file `source`, or all videos and images below the folder `source`, sorted; nothing below `leave_out`.

    Raises InputError when there is none.
    """
    if not str(source):
        raise InputError("the input is an empty name; name a file or folder")
    source = Path(source)
    if not os.path.exists(source):
        raise InputError(f"no file or folder '{source}'; check the path")
    known = f"videos ({' '.join(video.SUFFIXES)}) or images ({' '.join(image.SUFFIXES)})"
    if not source.is_dir():
        if not (is_video(source) or is_image(source)):
            raise InputError(f"'{source}' has the suffix '{source.suffix}'; give {known}")
        return [source]
    skipped = Path(leave_out).resolve()
    if skipped == source.resolve() or skipped in source.resolve().parents:
        raise InputError(f"results cannot go to '{leave_out}': it holds the input; name another output folder")
    found = [path for path in files_below(source, MEDIA) if skipped not in path.resolve().parents]
    if not found:
        raise InputError(f"folder '{source}' holds no media; put {known} there")
    return found


def _shown(video: Video, sampling: Sampling) -> list[int] | None:
    """Numbers of the frames that `sample_fps` leaves; None if these are all."""
    return None if sampling.sample_fps is None else shown_at(video.times(), sampling.sample_fps)


def _taken(video: Video, shown: list[int] | None, sampling: Sampling) -> Iterator[np.ndarray]:
    """What is taken of the frames whose numbers are `shown`, sized. Without num_frames the file is read to its end."""
    numbers = count(0, sampling.stride) if shown is None else iter(shown[:: sampling.stride])
    with video:
        yield from map(sampling.sized, islice(_numbered(video.frames(), numbers), sampling.num_frames))


def _numbered(frames: Iterator[np.ndarray], numbers: Iterator[int]) -> Iterator[np.ndarray]:
    """The frames of these rising numbers, each as often as its number comes; fewer where there are fewer frames."""
    number = next(numbers, None)
    for index, frame in enumerate(frames):
        while number == index:
            yield frame
            number = next(numbers, None)
