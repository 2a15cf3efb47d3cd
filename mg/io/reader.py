"""A video file that is open: its pictures, in the order in which they are shown.

What is in a file is known by decoding. Counts, flags and indexes of files are not believed: many are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

from mg.errors import InputError
from mg.files import require_file
from mg.io.cropping import crop_of
from mg.io.said import damage_said_by
from mg.io.shown import Shown
from mg.io.straight import Straight, reason
from mg.io.structure import Structure
from mg.io.timing import DECODING, RESTARTS, STEADY

_LONG_AGO = -(2**40)  # microseconds; before whatever a file begins with
# These do not say how long they are: a recording that stops inside a picture ends with the one before.
_ENDS_ANYWHERE = {"mpegts", "mpeg", "matroska", "webm", "flv", "ogg", "gif", "mpegvideo", "h264", "hevc"}
# These may begin inside a group of pictures, so that the first ones cannot be decoded.
_BEGINS_ANYWHERE = _ENDS_ANYWHERE - {"gif"}
_LOOK_FOR = "crccheck+bitstream+buffer"  # so that decoders mark as broken what they patch over
_LENIENT = {"h264"}  # whose decoder marks what it patches over; at its strictest it refuses harmless cuts as well
_EARLIER = Fraction(3, 10)  # seconds
_ASF = bytes.fromhex("3026B2758E66CF11A6D900AA0062CE6C")  # how such files begin
_LONG_BOX = b"\0\0\0\1"  # its length follows


class Video:
    """A video file that is open: its largest video stream; a context that closes it.

    It is decoded by one thread: with several, some decoders do not say what they patch over, or say it of other
    pictures. Raises InputError for a file that is missing, empty, foreign, or without video (a cover picture is none).
    """

    def __init__(self, path: Path | str):
        self.path = require_file(path, "a video")
        self._first: tuple[int | None, ...] | None = None
        self._open()

    @property
    def tick(self) -> Fraction:
        """Seconds of one count of the file's clock."""
        return self._stream.time_base or Fraction(1, 1_000_000)

    @property
    def rates(self) -> list[Fraction]:
        """Frame rates that the file's header and FFmpeg name; they may be wrong."""
        return [Fraction(rate) for rate in (self._stream.average_rate, self._stream.guessed_rate) if rate]

    @property
    def clock(self) -> str:
        """What the file's times are, see `mg.io.timing`."""
        if self._container.format.flags & av.format.Flags.ts_discont.value:
            return RESTARTS
        return DECODING if self._container.format.name == "avi" else STEADY

    def pictures(self) -> Iterator[av.VideoFrame]:
        """The pictures from the first one on; once, unless `rewind` is called.

        Raises InputError for damage, when it is reached: see `mg.io.straight`.
        """
        structure = Structure(self.path, self._container.format.name, self._stream.id)
        begins, ends = (bool(kinds & self._names) for kinds in (_BEGINS_ANYWHERE, _ENDS_ANYWHERE))
        straight = Straight(self.path, structure, begins, ends)
        try:
            yield from straight.pictures(self._packets())
        except InputError:  # where a file was cut off, what is left of its last picture may be damage of its own
            self._require_whole(straight.count)
            raise
        self._require_whole(straight.count)

    def frames(self) -> Iterator[np.ndarray]:
        """The same as frames, (H, W, 3) uint8 RGB each, as they are meant to be seen."""
        yield from map(self.rgb, self.pictures())

    def rgb(self, picture: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright, with square pixels."""
        with readable(self.path):
            return self._shown.rgb(picture)

    def pictures_from(self, stamp: int | None, until: int | None = None) -> Iterator[av.VideoFrame]:
        """What can be decoded from about a time on, in ticks; None: from the start of a file just opened or rewound.

        What it gives may begin earlier or later, with pictures that are wrong: see `mg.io.by_number`.
        until: of pictures before this time, those that no other one is made of may be left out.
        """
        context = self._stream.codec_context
        if context.codec.name.startswith("lib"):  # decoders of others leave out all of a file or nothing
            until = None
        with readable(self.path):
            if stamp is not None:
                if self.clock == RESTARTS:  # found by the time of decoding, which is earlier than that of being shown
                    stamp -= int(_EARLIER / self.tick)
                self._begun, self._at_start = [], False
                self._container.seek(stamp, stream=self._stream)
            for packet, _ in self._packets():
                early = until is not None and packet.pts is not None and packet.pts < until
                context.skip_frame = "NONREF" if early else "DEFAULT"
                pictures = []
                with suppress(Exception):  # of pictures that are made of others before
                    pictures = packet.decode()
                yield from pictures

    def rewind(self) -> None:
        """Go back to the start; a file that cannot be wound back is opened anew."""
        for offset, stream in ((self._first[0], self._stream), (_LONG_AGO, None)) if self._first else ():
            try:
                self._container.seek(offset or 0, stream=stream)
                packet = next(self._container.demux(self._stream))
            except (FFmpegError, StopIteration):
                continue
            if _place(packet) == self._first:
                self._begun = [packet]
                return
        self.reopen()

    def reopen(self) -> None:
        """Close the file and open it again: nothing is left of what was read."""
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file; no frame can be read any more."""
        self._container.close()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _names(self) -> set[str]:
        """What FFmpeg calls the kind of file."""
        return set(self._container.format.name.split(","))

    def _open(self):
        with readable(self.path):
            with damage_said_by("asf" if _is_asf(self.path) else "") as said:  # packets are read already
                self._container = av.open(str(self.path.absolute()), metadata_errors="replace")
            if said:
                self.close()
                raise self._damaged(said[0])
            streams = [s for s in self._container.streams.video if s.codec_context is not None]
            streams = [s for s in streams if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            self.close()
            raise InputError(f"'{self.path}' has no video stream that can be decoded; give a video or an image")
        self._stream = max(streams, key=lambda s: s.width * s.height)
        self._stream.thread_type = "NONE"
        explode = "" if self._stream.codec_context.name in _LENIENT else "+explode"
        self._stream.codec_context.options = {"err_detect": _LOOK_FOR + explode}
        number = [s.index for s in self._container.streams.video].index(self._stream.index)
        size = (self._stream.width, self._stream.height)
        crop = crop_of(self.path, self._container.format.name, number, size)
        self._shown = Shown(self.path, self._stream.sample_aspect_ratio, crop)
        self._begun: list[av.Packet] = []  # read, and still to be decoded
        self._at_start = True

    def _packets(self) -> Iterator[tuple[av.Packet, av.Packet | None]]:
        """Each packet with the one behind it; the last one is empty, which ends decoding, and has none."""
        before, begun, self._begun = None, self._begun, []
        with readable(self.path):
            for packet in chain(begun, self._demuxed()):
                if self._at_start:
                    self._first, self._at_start = _place(packet), False
                if before is not None:
                    yield before, packet
                before = packet
        if before is not None:
            yield before, None

    def _demuxed(self) -> Iterator[av.Packet]:
        packets = self._container.demux(self._stream)
        while True:
            with damage_said_by(self._container.format.name) as said:
                packet = next(packets, None)
            if said:
                raise self._damaged(said[0])
            if packet is None:
                return
            yield packet

    def _damaged(self, why: str) -> InputError:
        return InputError(f"'{self.path}' is damaged ({why}); copy or download it again")

    def _require_whole(self, count: int):
        """Raise InputError for an MP4, MOV or AVI that was cut off."""
        if {"mp4", "avi"} & self._names and (missing := _bytes_missing(self.path)):
            raise InputError(
                f"'{self.path}' is cut off after frame {count}: {missing} bytes are missing; copy or download it again"
            )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Say what a library cannot do with a file in our words."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # PyAV raises FFmpeg's errors and, for odd files, nearly any of Python's
        raise InputError(
            f"'{path}' cannot be read as a video ({reason(error)}); it is damaged or of another kind"
        ) from None


def _place(packet: av.Packet) -> tuple[int | None, ...]:
    """What tells a packet from the others of its file."""
    return packet.dts, packet.pts, packet.pos, packet.size


def _is_asf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_ASF)) == _ASF


def _bytes_missing(path: Path) -> int:
    """How many bytes the data of an ISO file (MP4, MOV, 3GP), or a RIFF file (AVI), reach beyond its end."""
    size, start = path.stat().st_size, 0
    with open(path, "rb") as file:
        while start + 8 <= size:
            file.seek(start)
            head = file.read(16)
            if head[:4] == b"RIFF":
                length = int.from_bytes(head[4:8], "little") + 8
            else:
                length = int.from_bytes(head[8:16] if head[:4] == _LONG_BOX else head[:4], "big")
            if start + length > size and (head[:4] == b"RIFF" or head[4:8] in (b"mdat", b"moof")):
                return start + length - size
            if length < 8:  # to the end of the file, or none
                break
            start += length
    return 0
