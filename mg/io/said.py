"""What FFmpeg says in its log alone, without an error or a mark on packet or picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import av

# Decoders of one family, which go on behind a wrong value as if it were another one; the container ASF, likewise.
_TACITURN = {"mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "wmv1", "wmv2", "h263", "h263p", "flv", "asf"}
# Warnings: what says how pictures of MPEG-4 are coded is not there, or not right; parts of ASF of a stream that is not.
_WARNINGS = ("missing VOL header", "unknown stream")
_LOCK = Lock()
_listeners: list[tuple[int | None, bool]] = []  # what was set before each began; the first one's is what was meant


@contextmanager
def damage_said_by(name: str) -> Iterator[list[str]]:
    """A list of what is said of damage in this thread, filled when the block ends; for others it stays empty.

    name: FFmpeg's, of a decoder or a container. FFmpeg's log belongs to the process: as long as anyone listens, errors
    that are said in other threads go to Python's logging, `libav`.
    """
    said: list[str] = []
    if name not in _TACITURN:
        yield said
        return
    _begin()
    try:
        with av.logging.Capture() as lines:
            yield said
    finally:
        _end()
        said += [
            text.strip()
            for level, _, text in lines
            if level <= av.logging.ERROR or any(map(text.__contains__, _WARNINGS))
        ]


def _begin():
    with _LOCK:
        before = av.logging.get_level(), av.logging.get_skip_repeated()
        _listeners.append(_listeners[0] if _listeners else before)
        av.logging.set_level(max(av.logging.WARNING, av.logging.get_level() or 0))
        av.logging.set_skip_repeated(False)  # of a second file, or reading, the same is said again


def _end():
    with _LOCK:
        level, skips = _listeners.pop()
        if not _listeners:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skips)
