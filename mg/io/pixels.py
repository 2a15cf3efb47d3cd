"""Between frames of a file and clips of a network. The one place that knows 127.5 and how to round."""

from __future__ import annotations

import numpy as np

_HALF_RANGE = 127.5


def to_clip(frames: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) uint8 RGB, or levels in between -> (3, T, H, W) fp32 in [-1, 1]."""
    clip = frames.transpose(3, 0, 1, 2).astype(np.float32)
    clip /= _HALF_RANGE
    clip -= 1.0
    return clip


def to_frames(clip: np.ndarray) -> np.ndarray:
    """(3, T, H, W), nominally in [-1, 1] -> (T, H, W, 3) uint8: clipped, then rounded to nearest, never truncated."""
    levels = (np.clip(clip, -1.0, 1.0) + 1.0) * _HALF_RANGE
    return np.ascontiguousarray(np.rint(levels).astype(np.uint8).transpose(1, 2, 3, 0))
