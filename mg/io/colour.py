"""Luma and chroma of pixels: ITU-R BT.601 in full range, as JPEG has them. Of arrays and of tensors alike."""

from __future__ import annotations

import numpy as np

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114


def luma_chroma(red, green, blue):
    """(Y, Cb, Cr) in the unit of the channels; grey has Cb = Cr = 0. Floating arrays or tensors of one shape."""
    luma = _RED * red + _GREEN * green + _BLUE * blue
    return luma, (blue - luma) * (0.5 / (1.0 - _BLUE)), (red - luma) * (0.5 / (1.0 - _RED))


def red_green_blue(luma, blueness, redness):
    """Back from (Y, Cb, Cr)."""
    red, blue = luma + redness * (2.0 * (1.0 - _RED)), luma + blueness * (2.0 * (1.0 - _BLUE))
    return red, (luma - _RED * red - _BLUE * blue) / _GREEN, blue


def turn_colours(frames: np.ndarray, angle: float, strength: float) -> np.ndarray:
    """Chroma turned by an angle in radians and multiplied by a strength, 0 for grey; luma stays where nothing clips.

    frames: (..., 3) uint8 RGB.  Returns the same, rounded and clipped.
    """
    luma, blueness, redness = luma_chroma(*np.moveaxis(frames.astype(np.float32), -1, 0))
    along, across = np.float32(strength * np.cos(angle)), np.float32(strength * np.sin(angle))
    turned = red_green_blue(luma, along * blueness - across * redness, across * blueness + along * redness)
    return np.clip(np.rint(np.stack(turned, -1)), 0, 255).astype(np.uint8)
