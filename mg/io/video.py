"""Video files: read from start to end as frames, written as H.264 MP4."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from math import ceil
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from mg.errors import InputError
from mg.files import whole_file
from mg.io.index import STORE
from mg.io.reader import Video

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv")
SUFFIXES += (".mts", ".m2ts", ".3gp", ".3g2", ".mxf", ".vob", ".asf", ".divx", ".f4v", ".qt", ".m2v", ".m1v", ".mpe")
SUFFIXES += (".m2t", ".tod", ".dv", ".y4m", ".ivf", ".nut", ".wtv", ".rm", ".rmvb", ".264", ".h264", ".265", ".h265")
SUFFIXES += (".hevc", ".obu", ".apng")
_BT709 = 1
_MOST = 2**31 - 1
_CLOCK = Fraction(1, 90_000)  # of files whose rate varies


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows: size, frames a second (in the mean, if they vary), and how many frames there are."""

    width: int
    height: int
    fps: Fraction
    frames: int


def probe(path: Path | str) -> VideoInfo:
    """What is in a video, found by decoding it. Raises InputError for a file that is no readable video."""
    with Video(path) as video:
        index = STORE.find(video)
        height, width, _ = next(video.frames()).shape
    return VideoInfo(width, height, index.timing(video.path).fps, index.frames)


def read_frames(path: Path | str) -> Iterator[np.ndarray]:
    """The frames of the largest video stream, one at a time, each (H, W, 3) uint8 RGB, as they are meant to be seen.

    Raises InputError for a missing, empty or foreign file, and for damage when it is reached.
    """
    with Video(path) as video:
        yield from video.frames()


@contextmanager
def write_video(
    path: Path | str,
    fps: Fraction,
    crf: float = 16,
    times: Sequence[Fraction] | None = None,
    output_fps: Fraction | None = None,
) -> Iterator[VideoWriter]:
    """Yield a writer for an H.264 MP4 that browsers play. The file gets its name only when the block ends well.

    fps: constant frame rate. crf: x264's constant rate factor, 0 (lossless) to 51, in fractions too. times: instead of
    a constant rate, when each frame begins to be shown, in seconds from 0 on, and last when the last one ends.
    output_fps: write what is shown at so many frames a second, a constant rate: frames repeat or are left out.
    """
    for rate in (fps, output_fps or fps):
        _check_rate(rate)
    with whole_file(path) as part:
        ends = iter(times[1:]) if times is not None else (number / Fraction(fps) for number in count(1))
        if output_fps is not None:
            writer = VideoWriter(part, output_fps, crf, ends=ends)
        else:
            writer = VideoWriter(part, fps, crf, times)
        try:
            yield writer
            writer.finish()
        finally:
            writer.container.close()


class VideoWriter:
    """Encodes frames into a file; made by `write_video`.

    ends: when each frame that comes ends, if it is written as often as it is shown at `fps`.
    Frames of even size are stored as 4:2:0. 4:2:0 cannot hold an odd width or height, so these are stored as 4:4:4,
    which keeps the size exact.
    """

    def __init__(
        self,
        path: Path,
        fps: Fraction,
        crf: float,
        times: Sequence[Fraction] | None = None,
        ends: Iterator[Fraction] | None = None,
    ):
        self.container = av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"})
        # Where times vary, decoding goes in the order of showing, or the last frame's length would be lost.
        options = {"crf": str(crf), **({} if times is None else {"bf": "0"})}
        self.stream = self.container.add_stream("libx264", rate=fps, options=options)
        self.stamps = None if times is None else [round(time / _CLOCK) for time in times]
        self.fps, self.ends, self.shape, self.count = Fraction(fps), ends, None, 0

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, (H, W, 3) uint8 RGB, as often as it is shown; all must have the shape of the first."""
        if self.shape is None:
            self._start(frame)
        if frame.shape != self.shape:
            raise InputError(f"a frame has shape {frame.shape}, but the video's first had {self.shape}")
        copies = 1 if self.ends is None else ceil(next(self.ends) * self.fps) - self.count
        for _ in range(copies):
            self._append(frame)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self.shape is None:
            raise InputError("a video was to be written, but there was no frame")
        self._encode(None)

    def _append(self, frame: np.ndarray):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        # Both tables are named because older PyAV sets neither when they are the same.
        picture = picture.reformat(
            format=self.stream.pix_fmt, src_colorspace=Colorspace.ITU601, dst_colorspace=Colorspace.ITU709
        )
        if self.stamps is not None:
            if self.count + 1 >= len(self.stamps):
                raise InputError(f"frame {self.count} of a video was to be written, but only {self.count} have times")
            picture.pts, picture.time_base = self.stamps[self.count], _CLOCK
        self.count += 1
        self._encode(picture)

    def _encode(self, picture: av.VideoFrame | None):
        try:
            for packet in self.stream.encode(picture):
                if self.stamps is not None:
                    number = bisect_left(self.stamps, packet.pts)
                    packet.duration = self.stamps[number + 1] - self.stamps[number]
                self.container.mux(packet)
        except FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise InputError(f"frames of {self.stream.width}x{self.stream.height} cannot be stored as H.264") from error

    def _start(self, frame: np.ndarray):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise InputError(f"a frame is {frame.dtype} {frame.shape}, but must be uint8 (H, W, 3)")
        self.shape = frame.shape
        height, width, _ = frame.shape
        self.stream.width, self.stream.height = width, height
        self.stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        context = self.stream.codec_context
        if self.stamps is not None:
            context.time_base = _CLOCK
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG


def _check_rate(fps: Fraction):
    if not isinstance(fps, (int, Fraction)) or fps <= 0:
        raise InputError(f"fps={fps!r} must be a positive whole number or Fraction")
    if max(Fraction(fps).as_integer_ratio()) > _MOST:
        raise InputError(f"fps={fps} cannot be stored: numerator and denominator go up to {_MOST}; use another rate")
