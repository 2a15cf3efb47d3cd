"""Frames of a video by number. Frame k is the k-th that is shown, whatever its container says.

Decoding begins at a key frame before, found by time. Whether what comes out is what straight decoding gives is checked
for every frame by the checksum in the index; a file of which it is not is decoded from farther before, then straight
from its start, now and later.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import av
import numpy as np

from mg.errors import InputError
from mg.io import decord_process
from mg.io.index import STORE, Index, checksum
from mg.io.reader import Video

_CHUNK = 16  # frames that are compared at once
# What is tried in turn: how many key frames before the nearest, whether pictures may be left out that are not needed.
_WAYS = ((0, True), (0, False), (1, False), (3, False))


def read_frames_at(path: Path | str, indices: Sequence[int]) -> np.ndarray:
    """Frames by number, in the order asked for, (N, H, W, 3) uint8 RGB, as they are meant to be seen.

    Raises InputError for a file that cannot be decoded to its end, or a number that is not there.
    """
    return read_chosen(path, lambda index: indices)


def read_chosen(
    path: Path | str, choose: Callable[[Index], Sequence[int]], folder: Path | None = None, decord: bool = False
) -> np.ndarray:
    """Frames whose numbers `choose` takes from what is there; otherwise as `read_frames_at`.

    The first reading in a process decodes the file to its end; the others what they need. folder: where that is noted
    for other processes; None keeps it in memory. decord: let decord read files of which it gave every frame right.
    """
    with Video(path) as video:
        index = STORE.find(video, folder)
        wanted = [operator.index(number) for number in choose(index)]
        if not wanted or min(wanted) < 0:
            raise InputError(f"frames {wanted[:5]} of '{path}': give one or more numbers, counted from 0")
        if max(wanted) >= index.frames:
            missing = next(number for number in wanted if number >= index.frames)
            raise InputError(f"'{path}' has {index.frames} frames, so there is no frame {missing} (they count from 0)")
        if decord and index.decord_agrees is None:
            index.decord_agrees = _decord_agrees(video, index.frames)
            STORE.keep(video, index, folder)
            video.reopen()
        frames = decord_process.read(video.path, wanted) if decord and index.decord_agrees else None
        if frames is not None:
            return frames
        found = _window(video, index, set(wanted))
        return np.stack([found[number] for number in wanted])


def _decord_agrees(video: Video, count: int) -> bool:
    """Whether decord gives every frame as PyAV does, to one level in the mean; backwards, so that it seeks."""
    frames = video.frames()
    for first in range(0, count, _CHUNK):
        ours = np.stack(list(islice(frames, _CHUNK)))[::-1]
        theirs = decord_process.read(video.path, range(first, first + len(ours))[::-1])
        if theirs is None or theirs.shape != ours.shape:
            return False
        if np.abs(ours.astype(np.int16) - theirs).mean((1, 2, 3)).max() > 1:
            return False
    return True


def _window(video: Video, index: Index, wanted: set[int]) -> dict[int, np.ndarray]:
    """Frames by number, by the first way that gives the right ones."""
    while index.is_ordered and index.way < len(_WAYS):
        found = _from_key(video, index, wanted, *_WAYS[index.way])
        if len(found) == len(wanted):
            return found
        index.way += 1
        video.reopen()
    found = _picked(video, index, enumerate(video.pictures()), wanted)
    if len(found) < len(wanted):
        raise InputError(f"'{video.path}' does not give the same pictures twice; it is damaged, or is being written")
    return found


def _from_key(video: Video, index: Index, wanted: set[int], back: int, leave_out: bool) -> dict[int, np.ndarray]:
    """Frames by number, those that come out right; decoding begins `back` key frames before the last one that is not
    behind them."""
    first = min(wanted)
    keys = np.flatnonzero(index.keys[: first + 1])[: -back or None]
    start = int(index.stamps[keys[-1]]) if len(keys) > 1 else None
    pictures = video.pictures_from(start, int(index.stamps[first]) if leave_out else None)
    try:
        return _picked(video, index, ((index.number_at(picture.pts), picture) for picture in pictures), wanted)
    except InputError:
        return {}


def _picked(
    video: Video, index: Index, numbered: Iterator[tuple[int, av.VideoFrame]], wanted: set[int]
) -> dict[int, np.ndarray]:
    """Frames by number, without those that are not what the index says; nothing is decoded beyond the last one."""
    found, last = {}, max(wanted)
    for number, picture in numbered:
        if number in wanted and checksum(picture) == index.sums[number]:
            found[number] = video.rgb(picture)
        if number >= last:
            break
    return found
