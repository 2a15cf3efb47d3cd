"""What a container cuts off the pictures of a video, beyond what the codec does: PyAV does not say it.

MP4 and MOV have a box `clap` (ISO/IEC 14496-12, 12.1.4), Matroska four numbers PixelCrop (RFC 9559, 5.1.4.1.28).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mg.io.ebml import HEAD, element, elements

_LARGEST = 1 << 26  # bytes of a header that are looked at
_TRACKS, _TRACK, _TYPE, _VIDEO, _CLUSTER, _SEGMENT = 0x1654AE6B, 0xAE, 0x83, 0xE0, 0x1F43B675, 0x18538067
_CROPS = (0x54BB, 0x54AA, 0x54CC, 0x54DD)  # top, bottom, left, right
_SIZES = 78  # bytes of a video's sample entry before its boxes


class Crop(NamedTuple):
    """Rows and columns that are not shown."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def crop_of(path: Path, container: str, number: int, size: tuple[int, int]) -> Crop:
    """What is cut off video stream `number`, of (width, height) `size`; nothing where the container says nothing.

    container: FFmpeg's name of it.
    """
    names = container.split(",")
    try:
        with open(path, "rb") as file:
            if "mp4" in names:
                crop = _of_mp4(file, number, *size)
            elif "matroska" in names:
                crop = _of_matroska(file, number)
            else:
                return Crop()
    except (IndexError, ValueError, ZeroDivisionError, OverflowError, OSError):  # a damaged header
        return Crop()
    inside = min(crop) >= 0 and crop.left + crop.right < size[0] and crop.top + crop.bottom < size[1]
    return crop if inside else Crop()


def _of_mp4(file: BinaryIO, number: int, width: int, height: int) -> Crop:
    moov = next((file.read(size) for kind, size in _outer(file) if kind == b"moov"), b"")
    if b"clap" not in moov:
        return Crop()
    tracks = [track for kind, track in _boxes(moov) if kind == b"trak"]
    tables = [table for track in tracks if (table := _inside(track, b"mdia", b"minf", b"stbl", b"stsd"))]
    videos = [track for track, table in zip(tracks, tables) if _inside(track, b"mdia", b"minf", b"vmhd") is not None]
    (_, entry), *_ = _boxes(_inside(videos[number], b"mdia", b"minf", b"stbl", b"stsd")[8:])
    clap = _inside(entry[_SIZES:], b"clap")
    if clap is None:
        return Crop()
    values = [int.from_bytes(clap[start : start + 4], "big", signed=start >= 16) for start in range(0, 32, 4)]
    wide, high, across, down = (Fraction(*values[place : place + 2]) for place in range(0, 8, 2))
    left, top = round((width - wide) / 2 + across), round((height - high) / 2 + down)
    return Crop(top, height - top - round(high), left, width - left - round(wide))


def _outer(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each outermost box, the file standing at its content."""
    place = 0
    while len(head := file.read(8)) == 8:
        size, start = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, start = int.from_bytes(file.read(8), "big"), 16
        if size < start:
            return
        if size - start <= _LARGEST:
            yield head[4:], size - start
        place += size
        file.seek(place)


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box in one."""
    while len(content) >= 8 and (size := int.from_bytes(content[:4], "big")) >= 8:
        yield content[4:8], content[8:size]
        content = content[size:]


def _inside(content: bytes, *kinds: bytes) -> bytes | None:
    """What is in the first box of these kinds, each inside the one before."""
    for kind in kinds:
        content = next((inner for found, inner in _boxes(content) if found == kind), None)
        if content is None:
            return None
    return content


def _of_matroska(file: BinaryIO, number: int) -> Crop:
    tracks = b""
    while (found := element(file.read(HEAD))) is not None and found[0] != _CLUSTER:
        name, length, start = found
        file.seek(start - HEAD, 1)
        if name == _TRACKS and length <= _LARGEST:
            tracks = file.read(length)
            break
        if name != _SEGMENT:
            file.seek(length, 1)
    videos = [dict(elements(track)) for name, track in elements(tracks) if name == _TRACK]
    video = [track for track in videos if track.get(_TYPE) == b"\1"][number]
    settings = dict(elements(video.get(_VIDEO, b"")))
    return Crop(*(int.from_bytes(settings.get(name, b""), "big") for name in _CROPS))
