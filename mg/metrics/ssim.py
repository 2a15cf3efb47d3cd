"""Structural similarity: Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13(4), 2004."""

from __future__ import annotations

import cv2
import numpy as np

_WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(reference: np.ndarray, other: np.ndarray) -> float:
    """Mean SSIM of two uint8 frames (H, W, 3), H and W >= 11: over the window's inner positions, then over channels.

    11x11 Gaussian window, sigma 1.5, K = (0.01, 0.03), peak 255, population covariance, as published.
    """
    return float(np.mean([_of_channel(reference[..., c], other[..., c]) for c in range(3)]))


def _of_channel(reference: np.ndarray, other: np.ndarray) -> float:
    x, y = reference.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _average(x), _average(y)
    variance_x = _average(x * x) - mean_x**2
    variance_y = _average(y * y) - mean_y**2
    covariance = _average(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    edge = _WINDOW // 2
    return (luminance * structure)[edge:-edge, edge:-edge].mean()


def _average(x: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(x, (_WINDOW, _WINDOW), _SIGMA)
