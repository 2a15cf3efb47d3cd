"""Video files: read from start to end as upright RGB frames, written as H.264 MP4."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from mg.errors import InputError
from mg.files import require_file, whole_file

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv")
_BT709 = 1
_MOST = 2**31 - 1
_LONG_AGO = -(2**40)  # microseconds; before whatever a file begins with


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows: displayed size, mean frame rate, and the number of packets in the file, one a frame."""

    width: int
    height: int
    fps: Fraction
    frames: int


class Video:
    """A video file that is open: its largest video stream, read once from start to end; a context that closes it.

    Raises InputError for a file that is missing, empty, foreign, or without video (a cover picture is none).
    """

    def __init__(self, path: Path | str):
        self.path = require_file(path, "a video")
        self._packets: list[tuple[int | None, int | None]] | None = None  # (pts, duration) of each
        self._begun: list[av.Packet] = []  # read, and still to be decoded
        self._open()

    @property
    def fps(self) -> Fraction:
        """Mean frame rate. Raises InputError for a file that does not say."""
        fps = self._stream.average_rate or self._stream.guessed_rate
        if not fps:
            raise InputError(f"'{self.path}' does not say its frame rate; convert it to MP4 first")
        return Fraction(fps)

    def count(self) -> int:
        """How many frames there are: packets are counted, one a frame, and not decoded. To be asked before `frames`.

        Headers lie, so the file is read through, and then from its start again.
        """
        if self._packets is None:
            self._packets, first = [], None
            with _readable(self.path):
                for packet in self._container.demux(self._stream):
                    first = first or _place(packet)
                    if packet.size > 0 and not packet.is_discard:
                        self._packets.append((packet.pts, packet.duration))
                self._rewind(first)
        return len(self._packets)

    def times(self) -> list[Fraction]:
        """When each frame begins to be shown, in seconds from the first on, and last when the last one ends.

        To be asked before `frames`. Times that are even but for rounding to the file's clock come as even ones.
        """
        count, fps, tick = self.count(), self.fps, self._stream.time_base
        even = [number / fps for number in range(count + 1)]
        stamps = sorted(pts for pts, _ in self._packets if pts is not None)
        if len(set(stamps)) < count or not count:
            return even
        times = [(pts - stamps[0]) * tick for pts in stamps]
        if all(abs(time - expected) < tick for time, expected in zip(times, even)):
            return even
        last = dict(self._packets)[stamps[-1]]
        return [*times, times[-1] + (last * tick if last else 1 / fps)]

    def frames(self) -> Iterator[np.ndarray]:
        """The frames, one at a time, once, each (H, W, 3) uint8 RGB, upright.

        Raises InputError for a truncated file or damage inside, when it is reached.
        """
        count, packets, shape = 0, 0, None
        self._stream.thread_type = "AUTO"
        with _readable(self.path):
            for packet in chain(self._begun, self._container.demux(self._stream)):
                packets += packet.size > 0
                if packet.is_corrupt:
                    raise InputError(
                        f"'{self.path}' is truncated or damaged after frame {count}; copy or download it again"
                    )
                for frame in packet.decode():
                    pixels = _upright_rgb(frame)
                    shape = shape or pixels.shape
                    self._require_shape(pixels, shape, count)
                    count += 1
                    yield pixels
        # An MP4 lists its packets, also those that an edit list keeps from being shown.
        promised = self._stream.frames if "mp4" in self._container.format.name else 0
        if count == 0:
            raise InputError(f"'{self.path}' holds no frame that can be decoded; copy or download it again")
        if packets < promised:
            raise InputError(f"'{self.path}' ends after {packets} of {promised} packets; copy or download it again")

    def close(self) -> None:
        """Close the file; no frame can be read any more."""
        self._container.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _open(self):
        with _readable(self.path):
            self._container = av.open(str(self.path.absolute()), metadata_errors="replace")
        streams = [s for s in self._container.streams.video if s.codec_context is not None]
        streams = [s for s in streams if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            self.close()
            raise InputError(f"'{self.path}' has no video stream that can be decoded; give a video or an image")
        self._stream = max(streams, key=lambda s: s.width * s.height)

    def _rewind(self, first: tuple[int | None, ...] | None):
        """Go back to the packet that came `first`; a file that cannot be wound back is opened anew."""
        for offset, stream in ((first[0] if first else None, self._stream), (_LONG_AGO, None)):
            try:
                self._container.seek(offset or 0, stream=stream)
                packet = next(self._container.demux(self._stream))
            except FFmpegError:
                continue
            if _place(packet) == first:
                self._begun = [packet]
                return
        self.close()
        self._open()

    def _require_shape(self, pixels: np.ndarray, shape: tuple[int, ...], count: int):
        if pixels.shape != shape:
            raise InputError(
                f"'{self.path}' changes its size from {shape[1]}x{shape[0]} to {pixels.shape[1]}x{pixels.shape[0]} "
                f"at frame {count}; cut or convert it to one size"
            )


def probe(path: Path | str) -> VideoInfo:
    """Look into a video without decoding more than its first frame.

    Frames are counted in the file: headers lie. Raises InputError for a file that is no readable video.
    """
    with Video(path) as video:
        fps, frames = video.fps, video.count()
        height, width, _ = next(video.frames()).shape
    return VideoInfo(width, height, fps, frames)


def read_frames(path: Path | str) -> Iterator[np.ndarray]:
    """The frames of the largest video stream, one at a time, each (H, W, 3) uint8 RGB, upright.

    Raises InputError for a missing, empty, truncated or foreign file; for damage inside, when it is reached.
    """
    with Video(path) as video:
        yield from video.frames()


@contextmanager
def write_video(path: Path | str, fps: Fraction, crf: float = 16) -> Iterator[VideoWriter]:
    """Yield a writer for an H.264 MP4 that browsers play. The file gets its name only when the block ends well.

    fps: constant frame rate. crf: x264's constant rate factor, 0 (lossless) to 51, in fractions too.
    """
    if not isinstance(fps, (int, Fraction)) or fps <= 0:
        raise InputError(f"fps={fps!r} must be a positive whole number or Fraction")
    if max(Fraction(fps).as_integer_ratio()) > _MOST:
        raise InputError(f"fps={fps} cannot be stored: numerator and denominator go up to {_MOST}; use another rate")
    with whole_file(path) as part:
        writer = VideoWriter(part, fps, crf)
        try:
            yield writer
            writer.finish()
        finally:
            writer.container.close()


class VideoWriter:
    """Encodes frames into a file; made by `write_video`.

    Frames of even size are stored as 4:2:0. 4:2:0 cannot hold an odd width or height, so these are stored as 4:4:4,
    which keeps the size exact.
    """

    def __init__(self, path: Path, fps: Fraction, crf: float):
        self.container = av.open(str(path.absolute()), "w", format="mp4", options={"movflags": "+faststart"})
        self.stream = self.container.add_stream("libx264", rate=fps, options={"crf": str(crf)})
        self.shape = None

    def write(self, frame: np.ndarray) -> None:
        """Append one frame, (H, W, 3) uint8 RGB; all must have the shape of the first."""
        if self.shape is None:
            self._start(frame)
        if frame.shape != self.shape:
            raise InputError(f"a frame has shape {frame.shape}, but the video's first had {self.shape}")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        # Both tables are named because older PyAV sets neither when they are the same.
        picture = picture.reformat(
            format=self.stream.pix_fmt, src_colorspace=Colorspace.ITU601, dst_colorspace=Colorspace.ITU709
        )
        self._encode(picture)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self.shape is None:
            raise InputError("a video was to be written, but there was no frame")
        self._encode(None)

    def _encode(self, picture: av.VideoFrame | None):
        try:
            self.container.mux(self.stream.encode(picture))
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
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say what FFmpeg cannot do with a file in our words."""
    try:
        yield
    except FFmpegError as error:
        raise InputError(
            f"'{path}' cannot be read as a video ({error.strerror}); it is damaged or of another kind"
        ) from None


def _place(packet: av.Packet) -> tuple[int | None, ...]:
    """What tells a packet from the others of its file."""
    return packet.dts, packet.pts, packet.pos, packet.size


def _upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    if frame.colorspace == _BT709:
        # Both tables are named because older PyAV sets neither when they are the same.
        frame_rgb = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU601)
    else:
        frame_rgb = frame.reformat(format="rgb24")
    return np.ascontiguousarray(np.rot90(frame_rgb.to_ndarray(), frame.rotation // 90))
