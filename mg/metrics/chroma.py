"""Chroma: how far the colours of a reconstruction are from the original's, which of a grey clip are none."""

from __future__ import annotations

import numpy as np

from mg.io.colour import luma_chroma

PEAK_SHARE = 0.001  # of a clip's chroma, that the peak is exceeded by
_LEVEL = 100  # counted to a hundredth of a level
_MOST = 512  # levels: sums of two differences are smaller
_ERROR = "|difference of Cb| + |difference of Cr| (BT.601, full range) of every pixel, in 8-bit levels"


class Chroma:
    """The metric "chroma": for each frame, the mean |difference of chroma|, in 8-bit levels; lower is better.

    Of a grey clip the original's is 0, so it is the mean |chroma| of the reconstruction.
    """

    name = "chroma"

    def __init__(self):
        self.about = {"definition": f"mean of {_ERROR}"}

    def scorer(self) -> _Mean:
        return _Mean()


class ChromaPeak:
    """The metric "chroma_peak": what one in a thousand of a clip's |differences of chroma| exceeds, in 8-bit levels.

    Ghosts in colours, which a mean hides. One score for a clip, at its last frame, to a hundredth of a level.
    """

    name = "chroma_peak"

    def __init__(self):
        self.about = {"definition": f"{100 * (1 - PEAK_SHARE):.1f}th percentile, over a clip, of {_ERROR}"}

    def scorer(self) -> _Peak:
        return _Peak()


class _Mean:
    def __init__(self):
        self.scores = []

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        self.scores.append(float(_differences(original, recon).mean(dtype=np.float64)))

    def finish(self) -> np.ndarray:
        """A score for each frame, (frames,)."""
        return np.array(self.scores, np.float64)


class _Peak:
    def __init__(self):
        self.counts = np.zeros(_MOST * _LEVEL, np.int64)

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        steps = np.rint(_differences(original, recon) * _LEVEL).astype(np.int64)
        self.counts += np.bincount(steps.ravel(), minlength=len(self.counts))

    def finish(self) -> np.ndarray:
        """The clip's one score, (1,)."""
        below = np.cumsum(self.counts)
        return np.array([np.searchsorted(below, (1 - PEAK_SHARE) * below[-1]) / _LEVEL], np.float64)


def _differences(original: np.ndarray, recon: np.ndarray) -> np.ndarray:
    """(H, W) of two frames (H, W, 3) uint8. Chroma is linear, so it is the chroma of the error."""
    error = recon.astype(np.float32) - original
    _, blueness, redness = luma_chroma(*np.moveaxis(error, -1, 0))
    return np.abs(blueness) + np.abs(redness)
