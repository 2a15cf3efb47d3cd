"""Clips of media files, videos and images: which files there are, and one opening of each for all that is asked."""

from __future__ import annotations

import os
import sys
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import numpy as np

from mg.checks import require_whole
from mg.errors import InputError
from mg.files import files_below
from mg.io import image, video
from mg.io.frames import SIDES, covering_size, crop, resize_and_crop
from mg.io.image import read_image
from mg.io.index import STORE
from mg.io.reader import Video
from mg.io.timing import Timing, even_timing
from mg.slices import sliced

MEDIA = video.SUFFIXES + image.SUFFIXES
MOST_FPS = 1000


@dataclass(frozen=True)
class Sampling:
    """What is taken of each clip, in this order.

    sample_fps: the frame that is shown at each 1/sample_fps seconds: a video that is slower repeats frames, a faster
        one drops some; None takes every frame. stride: every so many-th of these, in time if the rate varies: what is
        shown at so many mean frames' distance. num_frames: so many from the start; None takes all. None of them
        concerns images.
    image_size: (height, width) to scale to and crop from the centre; None keeps the size. Or, instead of it,
    resolution: scale to this length of the shorter side; crop_size: cut this square out of the centre.
    seconds: only what is shown before so many, of what is taken. slices: (largest, smallest, step): cut whole slices of
    such sizes out of the centre, see mg.slices.
    """

    sample_fps: Fraction | None = None
    stride: int = 1
    num_frames: int | None = None
    image_size: tuple[int, int] | None = None
    resolution: int | None = None
    crop_size: int | None = None
    seconds: Fraction | None = None
    slices: tuple[int, int, int] | None = None

    def __post_init__(self):
        if self.sample_fps is not None and not 0 < self.sample_fps <= MOST_FPS:
            raise InputError(
                f"sample_fps={self.sample_fps} must be positive and at most {MOST_FPS}; leave it out for every frame"
            )
        if self.seconds is not None and self.seconds <= 0:
            raise InputError(f"seconds={self.seconds} must be positive; leave it out for all")
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
        """(H, W, 3) uint8 in the size asked for. Raises InputError for a frame that is too small to be cropped."""
        frame = self._resized(frame)
        if self.slices is None:
            return frame
        kept = [sliced(side, self.slices) for side in frame.shape[:2]]
        top, left = (round((side - rest) / 2) for side, rest in zip(frame.shape, kept))  # half to even
        return np.ascontiguousarray(frame[top : top + kept[0], left : left + kept[1]])

    def _resized(self, frame: np.ndarray) -> np.ndarray:
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

    def taken(self, timing: Timing) -> tuple[list[int], Timing]:
        """Numbers of the frames that are taken of a video, rising, and when they are shown."""
        numbers, shown = self._chosen(timing)
        if self.seconds is None:
            return numbers, shown
        count = max(1, bisect_left(shown.times, self.seconds, hi=len(numbers)))
        return numbers[:count], Timing(shown.times[: count + 1], shown.even)

    def _chosen(self, timing: Timing) -> tuple[list[int], Timing]:
        fps = self.sample_fps
        if fps is None and self.stride > 1 and not timing.even:
            fps = timing.fps
        if fps is not None:
            numbers = timing.shown_at(Fraction(fps))[:: self.stride][: self.num_frames]
            return numbers, even_timing(len(numbers), Fraction(fps) / self.stride)
        numbers = list(range(0, timing.frames, self.stride))[: self.num_frames]
        if timing.even:
            return numbers, even_timing(len(numbers), timing.fps / self.stride)
        return numbers, Timing(timing.times[: len(numbers) + 1], False)


@dataclass(frozen=True)
class Clip:
    """A file that is open.

    frames: what is taken, (H, W, 3) uint8 each, read as it is asked for, once. size: their (height, width).
    total: how many are taken.
    fps: frames taken a second, in the mean if they vary; None of an image. times: of frames whose rate varies, when
    each begins to be shown, in seconds from the first on, and last when the last one ends.
    """

    path: Path
    frames: Iterator[np.ndarray]
    size: tuple[int, int]
    total: int
    fps: Fraction | None
    times: tuple[Fraction, ...] | None = None


def open_clip(path: Path | str, sampling: Sampling = Sampling()) -> Clip:
    """Open a video or an image, once. A video is decoded through first, unless it was before in this process, or as far
    as it is needed; then frame by frame, as they are asked for.

    It is closed when the last frame was taken, or `frames` is dropped. Raises InputError for a file that cannot be
    read; `frames` does for damage that shows later.
    """
    path = Path(path)
    if is_image(path):
        frame = sampling.sized(read_image(path))
        return Clip(path, iter([frame]), frame.shape[:2], 1, None)
    video = Video(path)
    start = sampling.num_frames if sampling.sample_fps is None and sampling.stride == 1 else None
    index = STORE.find(video, frames=start)
    numbers, timing = sampling.taken(index.timing(path, start))
    frames = _taken(video, numbers, sampling)
    first = next(frames)
    times = None if timing.even else timing.times
    return Clip(path, chain([first], frames), first.shape[:2], len(numbers), timing.fps, times)


def read_clip(path: Path | str, sampling: Sampling) -> np.ndarray:
    """(T, H, W, 3) uint8: all frames that are taken, in memory. Raises InputError as `open_clip` and its frames do."""
    return np.stack(list(open_clip(path, sampling).frames))


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
    found = [path for path in files_below(source, MEDIA, tell=True) if skipped not in path.resolve().parents]
    if not found:
        raise InputError(f"folder '{source}' holds no media; put {known} there")
    return found


def _taken(video: Video, numbers: list[int], sampling: Sampling) -> Iterator[np.ndarray]:
    """The frames of these rising numbers, each as often as its number comes, sized; nothing is decoded beyond them."""
    waiting = iter(numbers)
    number = next(waiting, None)
    with video:
        for count, picture in enumerate(video.pictures()):
            if count == number:
                frame = sampling.sized(video.rgb(picture))
            while count == number:
                yield frame
                number = next(waiting, None)
            if number is None:
                return
