"""Frames to the size that was asked for."""

from __future__ import annotations

import cv2
import numpy as np


def resize_and_crop(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale (H, W, 3) uint8 so that it just covers height x width, then cut that size out of the centre.

    Shrinks by area averaging, enlarges by bicubic interpolation.
    """
    scaled = covering_size(frame.shape[:2], height, width)
    if scaled != frame.shape[:2]:
        method = cv2.INTER_AREA if scaled < frame.shape[:2] else cv2.INTER_CUBIC
        frame = cv2.resize(frame, scaled[::-1], interpolation=method)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])


def covering_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a frame of `size` once it just covers height x width, its aspect kept."""
    scale = max(height / size[0], width / size[1])
    return max(height, round(size[0] * scale)), max(width, round(size[1] * scale))
