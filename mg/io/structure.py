"""What a container says of its own content beyond what FFmpeg looks at: lengths, checksums, counters.

Matroska and WebM (RFC 9559; EBML, RFC 8794): elements fill what holds them; checksums. FLV (version 10.1, E.3): each
tag is followed by its size. Ogg (RFC 3533): checksums of pages. MPEG-TS (ITU-T H.222.0, 2.4.3): packets of each stream
are counted. MPEG-PS (2.5.3): a clock, by which a recording that is joined behind another is known. Other containers say
nothing of the kind.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from mg.io.ebml import HEAD, UNKNOWN, element, elements
from mg.io.mpeg import mpegps, mpegts
from mg.io.place import Place

_SEGMENT, _CLUSTER, _TRACKS, _TRACK, _NUMBER, _TYPE = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xD7, 0x83
_BEFORE = {0x1A45DFA3, 0xEC, 0xBF}  # before a segment: the head of a file, padding, a checksum
# A place; a track, its picture, colours, sound, codings; a key frame, where it is; what is added to a block; a tag.
_INSIDE = {0x4DBB, _TRACK, 0xE0, 0x55B0, 0x55D0, 0x7670, 0xE1, 0x6D80, 0x6240, 0x5034, 0x5035, 0xBB, 0xB7, 0x75A1, 0xA6}
_INSIDE |= {0x7373, 0x63C0, 0x67C8}
_DEEPEST = 10
# Of places, of what the whole file is, of tracks, key frames, chapters, tags, attached files.
_LISTS = {0x114D9B74, 0x1549A966, _TRACKS, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0x1941A469}
_BLOCK, _GROUP, _LACED = 0xA3, 0xA0, 6
_IN_CLUSTER = {_BLOCK, _GROUP, 0xE7, 0xA7, 0xAB, 0xAF, 0x5854, 0xEC, 0xBF}  # groups, times, padding, a checksum, ...
_TOO_LONG, _FOREIGN = "an element is longer than what holds it", "what is no element is among its elements"
_LARGEST = 1 << 27  # bytes that are summed up at once
_TAGS = (8, 9, 18)  # sound, pictures, text
_MIRRORED, _ONES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256)), 0xFFFFFFFF
END = 1 << 62  # behind every place in a file


_NONE = Place(END + 1)


class Structure:
    """What is wrong in a file, found as far as it is asked for.

    container: FFmpeg's name of it. stream: what packets of the video are marked with in an MPEG-TS, its PID.
    """

    def __init__(self, path: Path, container: str, stream: int):
        names = set(container.split(","))
        walks = {"matroska": _matroska, "flv": _flv, "ogg": _ogg, "mpeg": mpegps}
        walks["mpegts"] = partial(mpegts, stream=stream)
        self._places = chain.from_iterable(_walked(path, walk) for name, walk in walks.items() if name in names)
        self.restarts = "mpegts" in names  # whether counters do where recordings are joined
        self._next = Place(-1)

    def wrong_up_to(self, place: int) -> str | None:
        """The first thing that is wrong from where it was asked for before up to `place`, None for nothing."""
        wrong = None
        while self._next.place <= place:
            wrong = wrong or self._next.wrong
            self._next = next(self._places, _NONE)
        return wrong


def _walked(path: Path, walk: Callable[[BinaryIO], Iterator[Place]]) -> Iterator[Place]:
    with open(path, "rb") as file:
        yield from walk(file)


def _matroska(file: BinaryIO) -> Iterator[Place]:
    size, start, end, tracks = file.seek(0, 2), 0, UNKNOWN, None
    while start < min(size, end) and (found := _at(file, start)) is not None:
        name, length, inside = found
        yield Place(start)
        if name == _SEGMENT:
            start, end, tracks = inside, min(UNKNOWN, inside + length), {}
            continue
        if tracks is None and name not in _BEFORE:
            yield Place(start, _FOREIGN)
        if not _is_summed(file, inside, length, size):
            yield Place(start, "a checksum is wrong")
        if name == _CLUSTER:
            start = yield from _cluster(file, inside, min(UNKNOWN, inside + length), tracks or {})
        else:
            start = inside + length
            if name in _LISTS and start <= size and not _is_filled(file, inside, length):
                yield Place(inside, _TOO_LONG)
            if name == _TRACKS and start <= size:
                tracks = _tracks(file, inside, length)
        if start > end:
            yield Place(size, _TOO_LONG)
    if start < min(size - HEAD, end):
        yield Place(start, _FOREIGN)


def _cluster(file: BinaryIO, start: int, end: int, tracks: Mapping[int, bool]) -> Iterator[Place]:
    """The elements of a cluster; returns where it ends."""
    size = file.seek(0, 2)
    while start < min(size, end) and (found := _at(file, start)) is not None:
        name, length, inside = found
        if name not in _IN_CLUSTER and end == UNKNOWN:
            return start
        file.seek(inside)
        head = file.read(4) if name == _BLOCK else b""  # track, time, time, flags
        is_video = tracks.get(head[0] & 127) if len(head) == 4 else False
        if name not in _IN_CLUSTER or is_video is None or (is_video and head[3] & _LACED):
            yield Place(start, "a cluster has a part that is of no kind, of no track, or not as pictures are stored")
        start = inside + length
        if start > end:
            yield Place(inside, _TOO_LONG)
            return end
        yield Place(
            inside, _TOO_LONG if name == _GROUP and start <= size and not _is_filled(file, inside, length) else None
        )
    return start if start < min(size - HEAD, end) or end == UNKNOWN else end


def _at(file: BinaryIO, start: int) -> tuple[int, int, int] | None:
    """Name and length of the element at a place, and where its content begins."""
    file.seek(start)
    found = element(file.read(HEAD))
    return found and (found[0], found[1], start + found[2])


def _is_filled(file: BinaryIO, start: int, length: int, depth: int = 0) -> bool:
    """Whether elements lie one behind the other in the content of another, and likewise in those of them that have
    any."""
    end = start + length
    while start < end and (found := _at(file, start)) is not None:
        name, length, inside = found
        start = inside + length
        if name in _INSIDE and start <= end and not (depth < _DEEPEST and _is_filled(file, inside, length, depth + 1)):
            return False
    return start == end


def _tracks(file: BinaryIO, start: int, length: int) -> dict[int, bool]:
    """Of the first 126 tracks by number, as blocks begin with it: whether it is a video."""
    file.seek(start)
    tracks = [dict(elements(content)) for name, content in elements(file.read(min(length, _LARGEST))) if name == _TRACK]
    numbers = [int.from_bytes(track.get(_NUMBER, b""), "big") for track in tracks]
    return {number: track.get(_TYPE) == b"\1" for number, track in zip(numbers, tracks) if number < 127}


def _is_summed(file: BinaryIO, start: int, length: int, size: int) -> bool:
    """Whether the content of an element has the sum that is its first part, if there is one."""
    file.seek(start)
    if length > _LARGEST or start + length > size or file.read(2) != b"\xbf\x84":
        return True
    written = int.from_bytes(file.read(4), "little")
    return zlib.crc32(file.read(length - 6)) == written


def _flv(file: BinaryIO) -> Iterator[Place]:
    size = file.seek(0, 2)
    file.seek(5)
    start, told = int.from_bytes(file.read(4), "big") + 4, None
    file.seek(start - 4)
    if any(file.read(4)):
        yield Place(start, "the first tag has one before it")
    while start + 11 <= size:
        file.seek(start)
        head = file.read(11)
        length = int.from_bytes(head[1:4], "big")
        if head[0] & 31 not in _TAGS:
            yield Place(start, "what is no tag is among its tags")
            return
        end = start + 11 + length
        if end + 4 > size:
            return
        file.seek(end)
        fits = int.from_bytes(file.read(4), "big") in (length + 11, length + 10, length)
        told = fits if told is None else told  # some writers never do
        yield Place(start, None if fits or not told else "a tag has another size than is written behind it")
        start = end + 4


def _ogg(file: BinaryIO) -> Iterator[Place]:
    size, start = file.seek(0, 2), 0
    while start + 27 <= size:
        file.seek(start)
        head = file.read(27)
        lengths = file.read(head[26])
        page = head[:22] + bytes(4) + head[26:] + lengths + file.read(sum(lengths))
        if start + len(page) >= size and len(page) < 27 + head[26] + sum(lengths):
            return
        # The same polynomial as zlib's, with the bits of each byte and of the sum in the other order, from 0 on.
        mirrored = zlib.crc32(page.translate(_MIRRORED), _ONES) ^ _ONES
        if head[:4] != b"OggS" or f"{mirrored:032b}"[::-1] != f"{int.from_bytes(head[22:26], 'little'):032b}":
            yield Place(start, "a checksum is wrong")
            return
        yield Place(start)
        start += len(page)
