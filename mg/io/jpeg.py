"""Whether the pixels of a JPEG are whole. What the library that reads them warns of, Pillow drops."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import av
from av.error import InvalidDataError

_SCAN, _COMMENT, _APPLICATIONS = 0xDA, 0xFE, range(0xE0, 0xF0)
_ADOBE = 0xEE  # says what colours four channels are
_MOST = 2**28 - 2**20  # pixels that FFmpeg decodes


def is_whole(path: Path, width: int, height: int) -> bool:
    """Whether FFmpeg's decoder finds nothing broken. True as well for kinds of JPEG, and sizes, that it does not know.

    A file is decoded once in a process.
    """
    if (width + 128) * (height + 128) > _MOST:
        return True
    stat = path.stat()
    return _decodes(str(path.absolute()), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=100_000)
def _decodes(path: str, _time: int, _size: int) -> bool:
    context = av.CodecContext.create("mjpeg", "r")
    # An eighth in size: all of the file is decoded as ever, and fewer pixels are made of it.
    context.options = {"err_detect": "crccheck+bitstream+buffer+explode", "lowres": "3"}
    try:
        packet = av.Packet(_without_metadata(Path(path).read_bytes()))
        return not any(picture.is_corrupt for picture in (*context.decode(packet), *context.decode(None)))
    except InvalidDataError:
        return False
    except Exception:  # what it does not know: PatchWelcomeError, NotImplementedError, ...
        return True


def _without_metadata(content: bytes) -> bytes:
    """A JPEG without what pixels do not need: nothing wrong there can stop reading."""
    parts, place = [content[:2]], 2
    while content[place : place + 1] == b"\xff" and (kind := content[place + 1 : place + 2]) != bytes([_SCAN]):
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        number = kind[0] if kind else _SCAN
        if number == _ADOBE or number not in (*_APPLICATIONS, _COMMENT):
            parts.append(content[place:end])
        place = end
    return b"".join(parts) + content[place:]
