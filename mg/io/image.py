"""Image files: read upright as RGB, written as PNG."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from threading import Lock

import numpy as np
import psutil
from PIL import Image, features

from mg.errors import InputError
from mg.files import require_file, whole_file
from mg.io.jpeg import is_whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".avif", ".heic")
SUFFIXES += (".heif", ".hif", ".jp2", ".j2k", ".jpx", ".tga", ".ppm", ".pgm", ".pbm", ".pnm")
_HEIF = (".heic", ".heif", ".hif")
_ORIENTATION = 0x0112  # of EXIF
# Rows and columns exchanged, then upside down, then left to right.
_TURNS = {2: (0, 0, 1), 3: (0, 1, 1), 4: (0, 1, 0), 5: (1, 0, 0), 6: (1, 0, 1), 7: (1, 1, 1), 8: (1, 1, 0)}
_BYTES_A_PIXEL = 10  # while an image is read and turned
_LOCK = Lock()


def read_image(path: Path | str) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF orientation; nothing else of its metadata is looked at.

    Transparency is laid over white, greyscale is repeated, 16-bit grey keeps its 8 upper bits. Raises InputError for a
    file that is missing, empty, damaged or no image, and for one that is larger than memory.
    """
    path = require_file(path, "an image")
    _require_reader(path)
    try:
        with _opened(path) as image:
            _require_memory(path, *image.size)
            if image.format == "PNG":
                _check_sums(path)
            image.load()
            if image.format in ("JPEG", "MPO") and not is_whole(path, *image.size):
                raise ValueError("its data are broken")
            swapped, flipped, mirrored = _TURNS.get(_orientation(image), (0, 0, 0))
            pixels = np.asarray(_to_rgb(image, image.format))
    except InputError:
        raise
    except Exception as error:  # Pillow's readers let through nearly any of Python's
        reason = f"{error or type(error).__name__}".splitlines()[0]
        raise InputError(f"'{path}' cannot be read as an image ({reason}); it is damaged or of another kind") from None
    pixels = pixels.transpose(1, 0, 2) if swapped else pixels
    return np.ascontiguousarray(pixels[:: -1 if flipped else 1, :: -1 if mirrored else 1])


def write_image(path: Path | str, pixels: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, whole or not at all."""
    with whole_file(path) as part:
        Image.fromarray(pixels).save(part, format="PNG")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image whose pixels are not read yet. Pillow's own limit of its size is lifted: see `_require_memory`."""
    with _LOCK:
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = most
    with image:
        yield image


def _require_reader(path: Path) -> None:
    """Raise InputError for a format that needs a package, or a version of one, that is not installed."""
    suffix = path.suffix.lower()
    if suffix == ".avif" and not features.check("avif"):
        raise InputError(f"'{path}' is AVIF, which Pillow reads from version 11.3 on; update it, or convert the file")
    if suffix in _HEIF:
        try:
            import_module("pi_heif").register_heif_opener()
        except ImportError:
            raise InputError(
                f"'{path}' is HEIC, which needs a package: pip install pi-heif, or convert the file to JPEG or PNG"
            ) from None


def _check_sums(path: Path) -> None:
    """Raise ValueError for a PNG whose pixels are not what was written; Pillow does not look at their checksums."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            data, kind = file.read(int.from_bytes(head[:4], "big")), head[4:]
            sum_written = int.from_bytes(file.read(4), "big")
            if kind in (b"IHDR", b"PLTE", b"IDAT") and zlib.crc32(kind + data) != sum_written:
                raise ValueError(f"the checksum of a part {kind.decode()} is wrong")


def _require_memory(path: Path, width: int, height: int) -> None:
    needed = width * height * _BYTES_A_PIXEL
    free = psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"'{path}' has {width}x{height} pixels, which take {needed / 1e9:.1f} GB to read where {free / 1e9:.1f} GB "
            "are free; scale it down or cut it into parts first"
        )


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 where EXIF says none, or cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever is wrong with it, the pixels are there
        return 1


def _to_rgb(image: Image.Image, file_format: str) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and file_format != "PNG"):
        raise ValueError(f"pixels of mode {image.mode} have no known range; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")
