"""Straight decoding of a video: which pictures are shown, and what is damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av

from mg.errors import InputError
from mg.io.structure import Structure
from mg.io.timing import LONGEST_GAP, RESTARTS

_END = 1 << 62


class Straight:
    """Decodes packets from the first one of a file on, once.

    clock: see `mg.io.timing`. ends_anywhere: whether a file may stop inside a picture, which is not shown then.
    structure: of the file that the packets are of.
    A recording, or another one that is joined behind it, may begin inside a group of pictures: it begins with the first
    key frame. Everything else that cannot be decoded is damage.
    """

    def __init__(self, path: Path, clock: str, ends_anywhere: bool, structure: Structure):
        self.path, self.clock, self.ends_anywhere, self._structure = path, clock, ends_anywhere, structure
        self.count = 0  # pictures shown
        self._has_begun: bool | None = None  # whether what is decoded is made of pictures that are in the file
        self._size: tuple[int, int] | None = None
        self._before: int | None = None  # time of the last picture
        self._last: av.Packet | None = None  # of the file

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
        try:
            return packet.decode()
        except Exception as error:  # PyAV raises FFmpeg's errors and, for odd files, nearly any of Python's
            if self._has_begun and not (self.ends_anywhere and packet is self._last):
                raise self._damaged(reason(error)) from None
            return []

    def _require_sound(self, packet: av.Packet, following: av.Packet | None) -> None:
        """Raise InputError for what the container says is wrong up to the next packet. Where a recording is joined
        behind another, counters start anew."""
        is_last = following is None or following.size == 0
        wrong = self._structure.wrong_before(_END if is_last else following.pos or 0)
        if packet.is_corrupt and not is_last:
            wrong = wrong or "a packet is not whole"
        if wrong is None or (self.clock == RESTARTS and not (self._has_begun and _goes_on(packet, following))):
            return
        raise self._damaged(wrong)

    def _is_shown(self, picture: av.VideoFrame) -> bool:
        before, self._before = self._before, picture.pts
        if self.clock == RESTARTS and None not in (before, picture.pts) and picture.pts <= before:
            self._has_begun = picture.key_frame
        if not self._has_begun:
            self._has_begun = picture.key_frame
        if not self._has_begun:
            return False
        if not picture.is_corrupt:
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


def reason(error: Exception) -> str:
    """What a library says of an error, in one line."""
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".splitlines()[0]
