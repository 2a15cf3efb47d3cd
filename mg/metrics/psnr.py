"""Peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

PEAK = 255.0
IDENTICAL = 100.0


def psnr(reference: np.ndarray, other: np.ndarray) -> float:
    """10 log10(255^2 / mean squared error) of two uint8 frames (H, W, 3), in dB.

    Identical frames count as 100 dB, so that means stay finite.
    """
    error = float(np.mean((reference.astype(np.float64) - other) ** 2))
    return IDENTICAL if error == 0 else 10 * float(np.log10(PEAK**2 / error))
