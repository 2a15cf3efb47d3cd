"""Figures by frame, and by the position among the frames of a latent frame: seams and stutter show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mg.io.plots import BAND, LINE, dress, plot

_GROUND = "#f1f4f8"


class Curves:
    """Means over clips of scores by frame, and their deviation from clip to clip.

    group: frames of a latent frame; None draws no panel by position.
    """

    def __init__(self, names: Sequence[str], group: int | None = None):
        self.names, self.group = names, group
        self.sums = np.zeros((3, 0, len(names)))  # count, sum, sum of squares

    def add(self, scores: np.ndarray) -> None:
        """The scores of a clip, (frames, metrics); NaN where there is none."""
        longer = len(scores) - self.sums.shape[1]
        if longer > 0:
            self.sums = np.pad(self.sums, ((0, 0), (0, longer), (0, 0)))
        there = np.nan_to_num(scores)
        self.sums[:, : len(scores)] += [~np.isnan(scores), there, there**2]

    def by_frame(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation, (frames, metrics) each; NaN where no clip has a score."""
        return _mean_and_deviation(self.sums)

    def by_position(self) -> tuple[np.ndarray, np.ndarray]:
        """The same for the positions in a group, (group, metrics)."""
        frames = self.sums.shape[1]
        padded = np.pad(self.sums, ((0, 0), (0, -frames % self.group), (0, 0)))
        return _mean_and_deviation(padded.reshape(3, -1, self.group, len(self.names)).sum(1))

    def draw(self, path: Path) -> None:
        """A row of panels for each metric, as a PNG; nothing if there was no clip of two frames."""
        if self.sums.shape[1] < 2:
            return
        columns = 1 if self.group is None else 2
        with plot(path, 5.2 + 3.4 * (columns - 1), 2.6 * len(self.names)) as figure:
            axes = figure.subplots(len(self.names), columns, squeeze=False, width_ratios=[3, 2][:columns])
            for index, row in enumerate(axes):
                self._draw_frames(row[0], index)
                if self.group is not None:
                    self._draw_positions(row[1], index)

    def _draw_frames(self, axis: Axes, index: int) -> None:
        mean, deviation = (values[:, index] for values in self.by_frame())
        clips = int(self.sums[0, :, index].max())
        of = f", mean and deviation of {clips} clips" if clips > 1 else ""
        if clips > 1:
            lines = mean - deviation, mean + deviation
            axis.fill_between(np.arange(len(mean)), *lines, color=BAND, alpha=0.6, linewidth=0)
        _draw_line(axis, mean, "" if len(mean) > 64 else ".")
        self._shade(axis, len(mean))
        dress(axis, _label(self.names[index]) + of, "frame", 8)

    def _draw_positions(self, axis: Axes, index: int) -> None:
        _draw_line(axis, self.by_position()[0][:, index], "o")
        dress(axis, "by position in a latent frame", f"frame modulo {self.group}", 8)

    def _shade(self, axis: Axes, frames: int) -> None:
        """Every other latent frame."""
        for start in range(0, frames, 2 * self.group) if self.group else ():
            axis.axvspan(start - 0.5, min(start + self.group, frames) - 0.5, color=_GROUND, linewidth=0, zorder=-2)


def _label(name: str) -> str:
    return "PSNR in dB" if name == "psnr" else name.upper()


def _mean_and_deviation(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    count, total, squares = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        return mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def _draw_line(axis: Axes, mean: np.ndarray, marker: str) -> None:
    axis.plot(np.arange(len(mean)), mean, color=LINE, linewidth=1.2, marker=marker, markersize=4)
