"""Frames of a video by number, for training.

decord reads them faster where it is installed (x86_64 only) and agrees with PyAV, which is the reference.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np

from mg.errors import InputError
from mg.files import require_file
from mg.io.video import Video


@dataclass(frozen=True)
class _Known:
    """What one look into a file has told: its frames, and their shape if decord may be used for it."""

    frames: int
    decord_shape: tuple[int, int, int] | None


_known: dict[tuple[str, int, int], _Known] = {}  # by path, time of change and bytes


def read_frames_at(path: Path | str, indices: Sequence[int]) -> np.ndarray:
    """Frames by number, in the order asked for, (N, H, W, 3) uint8 RGB, upright.

    Raises InputError for an unreadable file or a number that is not there.
    """
    return read_chosen(path, lambda frames: indices)


def read_chosen(path: Path | str, choose: Callable[[int], Sequence[int]]) -> np.ndarray:
    """Frames whose numbers `choose` takes from how many there are; otherwise as `read_frames_at`.

    A file is opened once; when it is first read in a process, once by PyAV and once by decord where there is one.
    """
    path = require_file(path, "a video")
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    if key not in _known:
        return _read_first(path, key, choose)
    known = _known[key]
    wanted = _numbers(path, choose(known.frames))
    reader = None if known.decord_shape is None else _open_with_decord(path)
    frames = None if reader is None else _read_with_decord(path, reader, wanted, known.decord_shape)
    if frames is not None:
        return frames
    with Video(path) as video:
        return _pick(path, video.frames(), wanted)


def _read_first(path: Path, key: tuple[str, int, int], choose: Callable[[int], Sequence[int]]) -> np.ndarray:
    """Count frames and find out whether decord may be used, and read, with the same opening."""
    with Video(path) as video:
        count, frames = video.count(), video.frames()
        first = next(frames)
        reader = _open_with_decord(path)
        shape = _shape_if_it_agrees(reader, first, count)
        _known[key] = _Known(count, shape)
        wanted = _numbers(path, choose(count))
        found = None if shape is None else _read_with_decord(path, reader, wanted, shape)
        return _pick(path, chain([first], frames), wanted) if found is None else found


def _numbers(path: Path, indices: Sequence[int]) -> list[int]:
    wanted = [operator.index(index) for index in indices]
    if not wanted or min(wanted) < 0:
        raise InputError(f"frames {wanted[:5]} of '{path}': give one or more numbers, counted from 0")
    return wanted


def _pick(path: Path, frames: Iterator[np.ndarray], wanted: list[int]) -> np.ndarray:
    last, found = max(wanted), {}
    for index, frame in enumerate(frames):
        if index in wanted:
            found[index] = frame
        if index == last:
            break
    _require_indices(path, wanted, index + 1)
    return np.stack([found[index] for index in wanted])


@cache
def _decord() -> ModuleType | None:
    """decord, or None where it is not installed."""
    try:
        import_module("mindspore")  # first: a process that loads decord before MindSpore aborts
        return import_module("decord")
    except ImportError:
        return None


def _open_with_decord(path: Path):
    """A decord.VideoReader, or None where decord is missing or fails."""
    if _decord() is None:
        return None
    try:
        return _decord().VideoReader(str(path), num_threads=1)
    except Exception:  # decord raises its own error and, for some files, RuntimeError
        return None


def _read_with_decord(path: Path, reader, wanted: list[int], shape: tuple[int, int, int]) -> np.ndarray | None:
    """None where decord fails: PyAV then says why, or manages."""
    _require_indices(path, wanted, len(reader))
    try:
        frames = reader.get_batch(wanted).asnumpy()
    except Exception:  # decord raises its own error and, for some files, RuntimeError
        return None
    # decord lets a later frame have another size than the first, and then gives all of them that size.
    return frames if frames.shape[1:] == shape else None


def _shape_if_it_agrees(reader, reference: np.ndarray, count: int) -> tuple[int, int, int] | None:
    """The shape of a frame if decord sees `count` frames, and the first one to one level in the mean, as PyAV."""
    if reader is None:
        return None
    try:
        first = reader[0].asnumpy()
    except Exception:  # decord raises its own error and, for some files, RuntimeError
        return None
    if len(reader) != count or first.shape != reference.shape:
        return None
    difference = float(np.abs(reference.astype(np.int16) - first).mean())
    return first.shape if difference <= 1.0 else None


def _require_indices(path: Path, wanted: list[int], frames: int):
    missing = [index for index in wanted if index >= frames]
    if missing:
        raise InputError(f"'{path}' has {frames} frames, so there is no frame {missing[0]} (they count from 0)")
