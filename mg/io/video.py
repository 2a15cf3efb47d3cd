"""Video files: read as upright RGB frames, written as H.264 MP4.

PyAV is the reference reader. decord is used for frames by number, where it is installed (x86_64 only) and agrees.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from mg.errors import InputError
from mg.files import require_file, whole_file

try:
    import decord
except ImportError:
    decord = None

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".ogv")
_BT709 = 1
_MOST = 2**31 - 1


@dataclass(frozen=True)
class VideoInfo:
    """What a video shows: displayed size, mean frame rate, and the number of packets in the file, one a frame."""

    width: int
    height: int
    fps: Fraction
    frames: int


def probe(path: Path | str) -> VideoInfo:
    """Look into a video without decoding more than its first frame.

    Frames are counted in the file: headers lie. Raises InputError for a file that is no readable video.
    """
    for frame in read_frames(path):
        height, width, _ = frame.shape
        break
    with _open(path) as (container, stream):
        fps = stream.average_rate or stream.guessed_rate
        if not fps:
            raise InputError(f"'{path}' does not say its frame rate; convert it to MP4 first")
        frames = sum(packet.size > 0 and not packet.is_discard for packet in container.demux(stream))
    return VideoInfo(width, height, Fraction(fps), frames)


def read_frames(path: Path | str) -> Iterator[np.ndarray]:
    """The frames of the largest video stream, one at a time, each (H, W, 3) uint8 RGB, upright.

    Raises InputError for a missing, empty, truncated or foreign file; for damage inside, when it is reached.
    """
    count, packets, shape = 0, 0, None
    with _open(path) as (container, stream):
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            packets += packet.size > 0
            if packet.is_corrupt:
                raise InputError(f"'{path}' is truncated or damaged after frame {count}; copy or download it again")
            for frame in packet.decode():
                pixels = _upright_rgb(frame)
                shape = shape or pixels.shape
                if pixels.shape != shape:
                    raise InputError(
                        f"'{path}' changes its size from {shape[1]}x{shape[0]} to {pixels.shape[1]}x{pixels.shape[0]} "
                        f"at frame {count}; cut or convert it to one size"
                    )
                count += 1
                yield pixels
        # An MP4 lists its packets, also those that an edit list keeps from being shown.
        promised = stream.frames if "mp4" in container.format.name else 0
    if count == 0:
        raise InputError(f"'{path}' holds no frame that can be decoded; copy or download it again")
    if packets < promised:
        raise InputError(f"'{path}' ends after {packets} of {promised} packets; copy or download it again")


def read_frames_at(path: Path | str, indices: Sequence[int]) -> np.ndarray:
    """Frames by number, in the order asked for, (N, H, W, 3) uint8 RGB, upright.

    Raises InputError for an unreadable file or a number that is not there.
    """
    path = require_file(path, "a video")
    wanted = [operator.index(index) for index in indices]
    if not wanted or min(wanted) < 0:
        raise InputError(f"frames {wanted[:5]} of '{path}': give one or more numbers, counted from 0")
    stat = path.stat()
    shape = _shape_where_decord_agrees(str(path), stat.st_mtime_ns, stat.st_size)
    frames = None if shape is None else _read_with_decord(path, wanted)
    # decord lets a later frame have another size than the first, and then gives all of them that size.
    return frames if frames is not None and frames.shape[1:] == shape else _read_with_pyav(path, wanted)


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
def _open(path: Path | str):
    """Yield (container, its largest video stream); cover pictures do not count as video."""
    path = require_file(path, "a video")
    try:
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if s.codec_context is not None]
            streams = [s for s in streams if not s.disposition & av.stream.Disposition.attached_pic]
            if not streams:
                raise InputError(f"'{path}' has no video stream that can be decoded; give a video or an image")
            yield container, max(streams, key=lambda s: s.width * s.height)
    except FFmpegError as error:
        raise InputError(
            f"'{path}' cannot be read as a video ({error.strerror}); it is damaged or of another kind"
        ) from None


def _upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    if frame.colorspace == _BT709:
        # Both tables are named because older PyAV sets neither when they are the same.
        frame_rgb = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709, dst_colorspace=Colorspace.ITU601)
    else:
        frame_rgb = frame.reformat(format="rgb24")
    return np.ascontiguousarray(np.rot90(frame_rgb.to_ndarray(), frame.rotation // 90))


def _read_with_pyav(path: Path, wanted: list[int]) -> np.ndarray:
    last, found = max(wanted), {}
    for index, frame in enumerate(read_frames(path)):
        if index in wanted:
            found[index] = frame
        if index == last:
            break
    _require_indices(path, wanted, index + 1)
    return np.stack([found[index] for index in wanted])


def _read_with_decord(path: Path, wanted: list[int]) -> np.ndarray | None:
    """None where decord fails: PyAV then says why, or manages."""
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        _require_indices(path, wanted, len(reader))
        return reader.get_batch(wanted).asnumpy()
    except InputError:
        raise
    except Exception:  # decord raises its own error and, for some files, RuntimeError
        return None


def _require_indices(path: Path, wanted: list[int], frames: int):
    missing = [index for index in wanted if index >= frames]
    if missing:
        raise InputError(f"'{path}' has {frames} frames, so there is no frame {missing[0]} (they count from 0)")


@cache
def _shape_where_decord_agrees(path: str, _modified: int, _size: int) -> tuple[int, int, int] | None:
    """The shape of a frame if decord sees as many frames, and the first one to one level in the mean, as PyAV."""
    if decord is None:
        return None
    info = probe(path)
    try:
        reader = decord.VideoReader(path, num_threads=1)
        first = reader[0].asnumpy()
    except Exception:  # decord raises its own error and, for some files, RuntimeError
        return None
    if len(reader) != info.frames or first.shape != (info.height, info.width, 3):
        return None
    reference = next(read_frames(path)).astype(np.int16)
    return first.shape if float(np.abs(reference - first).mean()) <= 1.0 else None
