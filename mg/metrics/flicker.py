"""Flicker: how much more, or otherwise, a reconstruction changes from frame to frame than its original."""

from __future__ import annotations

import numpy as np

DEFINITION = (
    "mean over pixels and channels of |(recon_t - recon_t-1) - (original_t - original_t-1)| "
    "for every step between frames, in 8-bit levels"
)


class Flicker:
    """The metric "flicker": a difference of temporal differences for each step, in 8-bit levels; lower is better.

    0 when the error is the same in every frame, however large: what stands still does not flicker.
    """

    name = "flicker"

    def __init__(self):
        self.about = {"definition": DEFINITION}

    def scorer(self) -> _Scorer:
        return _Scorer()


class _Scorer:
    def __init__(self):
        self.last_error, self.scores = None, []

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        error = recon.astype(np.int16) - original  # the difference of differences is the difference of errors
        if self.last_error is not None:
            self.scores.append(float(np.abs(error - self.last_error).mean()))
        self.last_error = error

    def finish(self) -> np.ndarray:
        """A score for each step, (frames - 1,)."""
        return np.array(self.scores, np.float64)
