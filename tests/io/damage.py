"""Reads files that were damaged at random, in a process of its own: python damage.py FOLDER SEED COUNT.

Prints a line of JSON for each: file, what was done to it, and what came of it: "error", "same" (all frames as they
were), "shorter" (those that there are, as they were), "other" (a frame that is not what it was, given as right).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import barcode
import numpy as np
from PIL import Image

from mg.errors import InputError
from mg.io.by_number import read_frames_at
from mg.io.image import read_image
from mg.io.video import read_frames

VIDEOS = {"mp4": ("h264", "hevc", "mpeg4", "av1"), "mkv": ("h264", "vp9"), "webm": ("vp8",), "avi": ("mpeg4", "mjpeg")}
VIDEOS.update(
    {"ts": ("h264", "mpeg2"), "mpg": ("mpeg2",), "wmv": ("wmv2",), "flv": ("h264", "flv1"), "mov": ("mjpeg",)}
)
IMAGES = ("png", "jpg", "webp", "bmp", "tif", "jp2", "tga", "ppm")
CLOSE = 6.0  # levels in the mean that a frame may differ


def originals(folder: Path) -> list[Path]:
    """A clip of 16 frames in each kind, and an image in each format."""
    frames, files = [barcode.picture(number) for number in range(16)], []
    for container, codecs in VIDEOS.items():
        for codec in codecs:
            group = "plain" if "plain" in barcode.CODECS[codec][1] else "b_frames"
            files.append(barcode.write(folder / f"{codec}.{container}", codec, group, frames))
    for suffix in IMAGES:
        files.append(folder / f"image.{suffix}")
        Image.fromarray(frames[5]).save(files[-1])
    return files


def damaged(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """What was done, and what came of it."""
    data, size = bytearray(content), len(content)
    where = rng.choice(["header", "anywhere"])
    reach = min(size, 600) if where == "header" else size
    what = rng.choice(["bits", "bytes", "zeros", "cut", "gap"])
    if what == "bits":
        for place in rng.integers(reach, size=rng.integers(1, 6)):
            data[place] ^= 1 << int(rng.integers(8))
    elif what == "bytes":
        for place in rng.integers(reach, size=rng.integers(1, 12)):
            data[place] = int(rng.integers(256))
    else:
        start = int(rng.integers(reach))
        length = int(rng.integers(1, max(2, size // 20)))
        if what == "zeros":
            data[start : start + length] = bytes(len(data[start : start + length]))
        elif what == "cut":
            del data[start:]
        else:
            del data[start : start + length]
    return f"{what} in {where}", bytes(data)


def outcome(path: Path, right: list[np.ndarray]) -> str:
    """See above."""
    try:
        if path.suffix[1:] in IMAGES:
            return compared([read_image(path)], right)
        came = compared(list(read_frames(path)), right)
        by_number = compared(list(read_frames_at(path, [3, 2])), [right[3], right[2]]) if came == "same" else came
        return came if by_number == came else "other"
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error), error
        return "error"


def compared(frames: list[np.ndarray], right: list[np.ndarray]) -> str:
    """Whether every frame is, in order, one of the right ones."""
    rest = iter(right)
    if not all(any(_close(frame, other) for other in rest) for frame in frames):
        return "other"
    return "same" if len(frames) == len(right) else "shorter"


def _close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and float(np.abs(one.astype(int) - other).mean()) <= CLOSE


def outcomes(folder: Path, seed: int, count: int) -> Iterator[dict[str, str]]:
    files = originals(folder)
    right = {path: [read_image(path)] if path.suffix[1:] in IMAGES else list(read_frames(path)) for path in files}
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        source = files[number % len(files)]
        what, content = damaged(source.read_bytes(), rng)
        path = folder / f"damaged_{number}{source.suffix}"
        path.write_bytes(content)
        print(json.dumps({"begun": number}), flush=True)
        yield {"number": number, "file": source.name, "what": what, "came": outcome(path, right[source])}
        path.unlink()


if __name__ == "__main__":
    av.logging.set_level(None)
    for row in outcomes(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps(row), flush=True)
