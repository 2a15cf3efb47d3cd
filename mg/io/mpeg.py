"""What MPEG's two containers say of their own content (ITU-T H.222.0): see `mg.io.structure`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from mg.io.place import ANEW, Place

_SYNC, _STEPS = 0x47, (188, 192, 204)  # how packets of an MPEG-TS begin, and their sizes
_AT_ONCE = 8192  # packets
_PACK, _CLOCK = b"\0\0\1\xba", slice(4, 9)  # how a pack of an MPEG-PS begins, and where its clock is
_READ_ON = 64 * 1024


def mpegps(file: BinaryIO) -> Iterator[Place]:
    """Packs (2.5.3.3). Bits between those of a clock are the same in each: as bytes, clocks are in order as well."""
    begin, clock, rest = 0, b"", b""
    while read := file.read(_READ_ON):
        data = rest + read
        place = data.find(_PACK)
        while 0 <= place <= len(data) - _CLOCK.stop:
            before, clock = clock, data[place : place + _CLOCK.stop][_CLOCK]
            yield Place(begin + place, ANEW if clock < before else None)
            place = data.find(_PACK, place + 1)
        rest = data[1 - _CLOCK.stop :]
        begin += len(data) - len(rest)


def mpegts(file: BinaryIO, stream: int) -> Iterator[Place]:
    """Packets (2.4.3.2) of one stream, marked with its PID."""
    size, start, number, steps = file.seek(0, 2), 0, None, _STEPS
    while start < size:
        file.seek(start)
        data = np.frombuffer(file.read(_AT_ONCE * _STEPS[0]), np.uint8)
        found = _grid(data, steps)
        if found is None:
            return
        steps, begin = (found[0],), found[1]
        if start and begin:
            yield Place(start, "bytes are missing")
        rows = data[begin:][: (len(data) - begin) // found[0] * found[0]].reshape(-1, found[0])
        in_step = np.cumprod(rows[:, 0] == _SYNC).astype(bool)
        rows = rows[in_step]
        for row, counted, wrong in _wrong_packets(rows, stream, number):
            number = counted
            yield Place(start + begin + row * found[0], wrong)
        start += begin + max(1, len(rows)) * found[0]
        yield Place(start)


def _grid(data: np.ndarray, steps: Sequence[int]) -> tuple[int, int] | None:
    """How far packets are apart, and where the first one is that has two others behind it, or the end."""
    for step in steps:
        syncs = np.concatenate((data == _SYNC, np.ones(2 * step, bool)))
        places = np.flatnonzero(syncs[: len(data)] & syncs[step:-step] & syncs[2 * step :])
        if len(places):
            return step, int(places[0])
    return None


def _wrong_packets(rows: np.ndarray, stream: int, number: int | None) -> Iterator[tuple[int, int, str | None]]:
    """Of the packets of a stream, (N, at least 188): row, counter, and what is wrong; only such ones and the last one.

    number: counter of the packet before.
    """
    mine = np.flatnonzero((rows[:, 1] & 31) * 256 + rows[:, 2].astype(int) == stream)
    rows = rows[mine].astype(int)
    has_content = rows[:, 3] >> 4 & 1
    anew = (rows[:, 3] & 32 > 0) & (rows[:, 4] > 0) & (rows[:, 5] & 128 > 0)
    numbers = rows[:, 3] & 15
    before = np.concatenate((numbers[:1] - has_content[:1] if number is None else [number], numbers))[:-1]
    wrong = ~anew & ((before + has_content) % 16 != numbers % 16)
    broken = rows[:, 1] & 128 > 0
    for place in np.flatnonzero(wrong | broken | anew | (np.arange(len(rows)) == len(rows) - 1)):
        why = ANEW if anew[place] else "packets are missing" if wrong[place] else None
        yield int(mine[place]), int(numbers[place]), "a packet is marked as broken" if broken[place] else why
