"""Reads files that were damaged at random, in a process of its own: python damage.py FOLDER SEED COUNT [NUMBER ...].

With numbers, it is only these of the COUNT files, and each stays in FOLDER. Prints a line of JSON for each: file, what
was done to it, and what came of it: "error", "same" (all frames as they were, to the last bit), "shorter" (the first
ones, as they were), "later" (from a later key frame on, as a recording that begins inside a group), "other" (a frame
that is not what it was, or not where it was, given as right). Of these, "said" is what FFmpeg at its strictest says of
the file, "alike" whether its plain decoding begins with the same ones (of JPEG and WebP: nearly, since decoders round).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import av
import barcode
import numpy as np
from PIL import Image

from mg.errors import InputError
from mg.io.by_number import read_frames_at
from mg.io.cropping import Crop
from mg.io.image import read_image
from mg.io.shown import Shown
from mg.io.video import read_frames

VIDEOS = {"mp4": ("h264", "hevc", "mpeg4", "av1"), "mkv": ("h264", "vp9"), "webm": ("vp8",), "avi": ("mpeg4", "mjpeg")}
VIDEOS.update({"ts": ("h264", "mpeg2"), "mpg": ("mpeg2",), "wmv": ("wmv2",), "ogv": ("vp8",)})
VIDEOS.update({"flv": ("h264", "flv1"), "mov": ("mjpeg",)})
IMAGES = ("png", "jpg", "webp", "bmp", "tif", "jp2", "tga", "ppm")
ROUNDED, NEARLY = ("jpg", "webp"), 4  # levels in the mean
KEY = 12  # number of the second key frame
STRICTEST = {"err_detect": "crccheck+bitstream+buffer+careful+compliant+aggressive+explode"}
# Of these, what FFmpeg says is of names and descriptions, not of pictures; or, of JPEG 2000, of whole files as well.
DESCRIPTIONS = (
    "metadata",
    "TagName",
    "unsupported amf type",
    "non-existent track",
    "Progression order",
    "End mismatch",
)


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


def outcome(path: Path, right: list[np.ndarray]) -> dict[str, object]:
    """What came of it, see above."""
    try:
        frames = [read_image(path)] if path.suffix[1:] in IMAGES else list(read_frames(path))
        came = compared(frames, right)
        if came == "same" and len(frames) > 3 and not equal(list(read_frames_at(path, [3, 2])), [right[3], right[2]]):
            came = "other"
    except InputError as error:
        assert str(path) in str(error) and "\n" not in str(error), error
        return {"came": "error"}
    if came != "other":
        return {"came": came}
    plain, _ = decoded(path, {})
    plain = plain[: len(frames)]
    alike = equal(plain, frames) or (path.suffix[1:] in ROUNDED and nearly_equal(plain, frames))
    return {"came": came, "alike": alike, "said": decoded(path, STRICTEST)[1]}


def compared(frames: list[np.ndarray], right: list[np.ndarray]) -> str:
    """Which of the right frames they are."""
    if equal(frames, right[: len(frames)]):
        return "same" if len(frames) == len(right) else "shorter"
    return "later" if equal(frames, right[KEY:]) else "other"


def equal(frames: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(frames) == len(others) and all(map(np.array_equal, frames, others))


def nearly_equal(frames: list[np.ndarray], others: list[np.ndarray]) -> bool:
    pairs = list(zip(frames, others))
    same_shapes = len(frames) == len(others) and all(frame.shape == other.shape for frame, other in pairs)
    return same_shapes and all(np.abs(a.astype(int) - b).mean() < NEARLY for a, b in pairs)


def decoded(path: Path, options: dict[str, str]) -> tuple[list[np.ndarray], list[str]]:
    """What FFmpeg makes of a video by itself, and what it says of its pictures, warnings included."""
    frames, said = [], []
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as logs, av.open(str(path), metadata_errors="replace") as container:
            stream = max((s for s in container.streams.video if s.codec_context), key=lambda s: s.width * s.height)
            stream.thread_type, stream.codec_context.options = "NONE", options
            for packet in container.demux(stream):
                pictures = packet.decode()
                frames += [Shown(path, stream.sample_aspect_ratio, Crop()).rgb(picture) for picture in pictures]
                said += ["a picture is broken" for picture in pictures if picture.is_corrupt]
                said += ["a packet is broken"] if packet.is_corrupt else []
    except (av.error.FFmpegError, InputError, ValueError) as error:
        said.append(str(error))
    finally:
        av.logging.set_level(None)
    return frames, said + [text.strip() for _, _, text in logs if not any(word in text for word in DESCRIPTIONS)]


def outcomes(folder: Path, seed: int, count: int, only: Collection[int] = ()) -> Iterator[dict[str, object]]:
    files = originals(folder)
    right = {path: [read_image(path)] if path.suffix[1:] in IMAGES else list(read_frames(path)) for path in files}
    for number in only or range(count):
        rng = np.random.default_rng((seed, number))
        source = files[number % len(files)]
        what, content = damaged(source.read_bytes(), rng)
        path = folder / f"damaged_{number}{source.suffix}"
        path.write_bytes(content)
        print(json.dumps({"begun": number}), flush=True)
        yield {"number": number, "file": source.name, "what": what, **outcome(path, right[source])}
        if not only:
            path.unlink()


if __name__ == "__main__":
    av.logging.set_level(None)
    place, *numbers = sys.argv[1:]
    first, many, *chosen = map(int, numbers)
    for row in outcomes(Path(place), first, many, chosen):
        print(json.dumps(row), flush=True)
