"""Image files: read upright as RGB, written as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from mg.errors import InputError
from mg.files import require_file, whole_file

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")


def read_image(path: Path | str) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    Transparency is laid over white, greyscale is repeated, 16-bit grey keeps its 8 upper bits.
    Raises InputError for a file that is missing, empty, damaged or no image.
    """
    path = require_file(path, "an image")
    try:
        with Image.open(path) as image:
            image.load()
            return np.asarray(_to_rgb(ImageOps.exif_transpose(image), image.format))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as an image ({error}); it is damaged or of another kind") from None


def write_image(path: Path | str, pixels: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB as PNG, whole or not at all."""
    with whole_file(path) as part:
        Image.fromarray(pixels).save(part, format="PNG")


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
