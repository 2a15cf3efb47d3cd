"""How much an array jumps where tiles meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def step_ratio(array: np.ndarray, axis: int, lines: Sequence[int]) -> float | None:
    """Mean absolute step across `lines` over that across all other lines of the axis: 1 where no line stands out.

    Line n lies between samples n - 1 and n. None without lines, or where the array does not change at all.
    """
    steps = np.abs(np.diff(array.astype(np.float64), axis=axis))
    steps = steps.mean(tuple(other for other in range(array.ndim) if other != axis))
    chosen = np.zeros(len(steps), bool)
    chosen[[line - 1 for line in lines]] = True
    if not chosen.any() or chosen.all() or not steps[~chosen].any():
        return None
    return float(steps[chosen].mean() / steps[~chosen].mean())
