"""What every metric looks like: it scores one clip at a time, from the clip's frames in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np


class Scorer(Protocol):
    """Scores one clip. Several scorers of a metric may be at work at once."""

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        """Take the next frame of both: (H, W, 3) uint8."""

    def finish(self) -> np.ndarray:
        """After the last frame: a score for each frame (or step between frames, or one for the clip), (n,) float64.

        Of a SetMetric: features of the originals and of the reconstructions, (2, n, d) float32.
        """


class Metric(Protocol):
    """A clip's figure is the mean of its scores; a set's figure is the mean over clips.

    name: in flags and in tables. about: what a report must say for the figure to be reproduced, such as the variant,
    and the hash of the weights.
    """

    name: str
    about: dict[str, str]

    def scorer(self) -> Scorer:
        """A scorer for a new clip."""


class SetMetric(Metric, Protocol):
    """A metric of a whole set of clips: its scorers hand out features."""

    def distance(self, features: Iterable[np.ndarray]) -> float:
        """From the features of each clip, (2, n, d) each, read once and in order."""


class PerFrame:
    """A metric that is a function of two frames."""

    def __init__(self, name: str, function: Callable[[np.ndarray, np.ndarray], float], definition: str):
        self.name, self.function = name, function
        self.about = {"definition": definition}

    def scorer(self) -> Scorer:
        return _PerFrameScorer(self.function)


class _PerFrameScorer:
    def __init__(self, function: Callable[[np.ndarray, np.ndarray], float]):
        self.function, self.scores = function, []

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        self.scores.append(self.function(original, recon))

    def finish(self) -> np.ndarray:
        return np.array(self.scores, np.float64)
