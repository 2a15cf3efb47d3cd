"""Straight decoding of a video: which pictures are shown, and what is damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av

from mg.errors import InputError
from mg.io.place import ANEW
from mg.io.said import damage_said_by
from mg.io.second import Second
from mg.io.structure import END, Structure
from mg.io.timing import LONGEST_GAP

_MPEG, _PICTURE, _EXTENSION, _FRAME = ("mpeg1video", "mpeg2video"), b"\0\0\1\0", b"\0\0\1\xb5", 3


class Straight:
    """Decodes packets from the first one of a file on, once.

    structure: of the file that the packets are of. begins_anywhere: whether it may begin with pictures that cannot be
    decoded. ends_anywhere: whether it may stop inside a picture, which is not shown then.
    A recording, or another one that is joined behind it, may begin inside a group of pictures: it begins with the first
    key frame. Everything else that cannot be decoded is damage.
    """

    def __init__(self, path: Path, structure: Structure, begins_anywhere: bool, ends_anywhere: bool):
        self.path, self._structure = path, structure
        self.begins_anywhere, self.ends_anywhere = begins_anywhere, ends_anywhere
        self.count = 0  # pictures shown
        self._has_begun: bool | None = None  # whether what is decoded is made of pictures that are in the file
        self._second: Second | None = None
        self._size: tuple[int, int] | None = None
        self._before: int | None = None  # time of the last picture
        self._last: av.Packet | None = None  # of the file
        self._ends_broken = False  # whether the last packet is, of which a part of a picture may come
        self._may_be_joined = False  # whether another recording may begin; it does if times go back as well

    def pictures(self, packets: Iterable[tuple[av.Packet, av.Packet | None]]) -> Iterator[av.VideoFrame]:
        """The pictures that are shown, in that order. packets: each with the one behind it.

        Raises InputError for damage, when it is reached, and for a file without pictures.
        """
        for packet, following in packets:
            for picture in self._decoded(packet, following):
                if self._is_shown(picture):
                    self._require_size(picture)
                    self.count += 1
                    yield picture
        if self.count == 0:
            raise InputError(f"'{self.path}' holds no frame that can be decoded; copy or download it again")

    def _decoded(self, packet: av.Packet, following: av.Packet | None) -> list[av.VideoFrame]:
        if self._has_begun is None:
            self._has_begun = packet.is_keyframe
        if following is not None and following.size == 0:
            self._last = packet
        self._require_sound(packet, following)
        pictures, why = [], None
        try:
            with damage_said_by(packet.stream.codec_context.name) as said:
                pictures = packet.decode()
        except Exception as error:  # PyAV raises FFmpeg's errors and, for odd files, nearly any of Python's
            why = reason(error)
        why = why or next(iter(said), None)
        if why is None and (self._has_begun or any(picture.key_frame for picture in pictures)):
            self._second = self._second or Second(packet.stream.codec_context.name)
            why = self._second.objection(packet, pictures)
        is_end = self.ends_anywhere and packet is self._last
        if packet.is_corrupt and (is_end or not self._structure.restarts):
            why = why or "a packet is broken"
        if why is None:
            return pictures
        if (self._has_begun or not self.begins_anywhere) and not is_end:
            raise self._damaged(why)
        self._ends_broken = is_end
        return pictures if is_end else []

    def _require_sound(self, packet: av.Packet, following: av.Packet | None) -> None:
        """Raise InputError for what the container says is wrong up to the next packet. Where a recording is joined
        behind another, counters start anew."""
        is_last = following is None or following.size == 0
        wrong = self._structure.wrong_up_to(END if is_last else following.pos or 0)
        wrong = wrong or ("a packet has two pictures" if _has_two_pictures(packet) else None)
        if wrong is None:
            return
        if wrong != ANEW and not (self._structure.restarts and not (self._has_begun and _goes_on(packet, following))):
            raise self._damaged(wrong)
        self._may_be_joined = True

    def _is_shown(self, picture: av.VideoFrame) -> bool:
        before, self._before = self._before, picture.pts
        if self._may_be_joined and None not in (before, picture.pts) and picture.pts <= before:
            self._has_begun, self._may_be_joined = picture.key_frame, False
        if not self._has_begun:
            self._has_begun = picture.key_frame
        if not self._has_begun:
            return False
        if not picture.is_corrupt and not (self._ends_broken and picture.pts == self._last.pts):
            return True
        if self.count == 0 and not picture.key_frame:
            return False  # shown before the first key frame, and made of pictures that came before the file
        if self.ends_anywhere and self._last is not None and picture.pts == self._last.pts:
            return False
        raise self._damaged("a picture is broken")

    def _require_size(self, picture: av.VideoFrame) -> None:
        size = (picture.width, picture.height)
        self._size = self._size or size
        if size != self._size:
            raise InputError(
                f"'{self.path}' changes its size from {self._size[0]}x{self._size[1]} to {size[0]}x{size[1]} "
                f"at frame {self.count}; cut or convert it to one size"
            )

    def _damaged(self, why: str) -> InputError:
        return InputError(f"'{self.path}' is damaged after frame {self.count} ({why}); copy or download it again")


def _goes_on(packet: av.Packet, following: av.Packet | None) -> bool:
    """Whether times go on from one packet to the next; they do not where another recording begins."""
    if following is None or None in (packet.dts, following.dts):
        return True
    return 0 < following.dts - packet.dts <= LONGEST_GAP / packet.time_base


def _has_two_pictures(packet: av.Packet) -> bool:
    """Whether a packet of MPEG-1 or MPEG-2 has another picture behind a whole one, not a field (ITU-T H.262, 6.2.3):
    one is lost then, since what begins a packet is."""
    if packet.stream.codec_context.name not in _MPEG:
        return False
    _, *pictures = bytes(packet).split(_PICTURE)
    if len(pictures) < 2:
        return False
    _, *extensions = pictures[0].split(_EXTENSION)
    structure = extensions[0][2:3] if extensions else b""
    return not structure or structure[0] & 3 == _FRAME


def reason(error: Exception) -> str:
    """What a library says of an error, in one line."""
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".splitlines()[0]
