"""Frames to the size that was asked for."""

from __future__ import annotations

import cv2
import numpy as np


def resize_and_crop(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale (H, W, 3) uint8 so that it just covers height x width, then cut the centre out.

    Shrinks by area averaging, enlarges by bicubic interpolation.
    """
    scale = max(height / frame.shape[0], width / frame.shape[1])
    scaled = (max(height, round(frame.shape[0] * scale)), max(width, round(frame.shape[1] * scale)))
    if scaled != frame.shape[:2]:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        frame = cv2.resize(frame, scaled[::-1], interpolation=method)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return np.ascontiguousarray(frame[top : top + height, left : left + width])
