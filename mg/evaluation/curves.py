"""Figures by frame, and by the position among the frames of a latent frame: seams and stutter show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mg.files import whole_file

_INK, _BAND, _GROUND = "#1f4e79", "#b3c9de", "#f1f4f8"


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
        figure = Figure(figsize=(5.2 + 3.4 * (columns - 1), 2.6 * len(self.names)), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        ratios = [3, 2][:columns]
        axes = figure.subplots(len(self.names), columns, squeeze=False, width_ratios=ratios)
        for index, name in enumerate(self.names):
            mean, deviation = (values[:, index] for values in self.by_frame())
            clips = int(self.sums[0, :, index].max())
            of = f", mean and deviation of {clips} clips" if clips > 1 else ""
            _panel(axes[index, 0], mean, deviation if clips > 1 else None, "" if len(mean) > 64 else ".")
            self._shade(axes[index, 0], len(mean))
            axes[index, 0].set_title(_label(name) + of, fontsize=10, loc="left")
            axes[index, 0].set_xlabel("frame", fontsize=8)
            if self.group is not None:
                mean, deviation = (values[:, index] for values in self.by_position())
                _panel(axes[index, 1], mean, None, "o")
                axes[index, 1].set_title("by position in a latent frame", fontsize=10, loc="left")
                axes[index, 1].set_xlabel(f"frame modulo {self.group}", fontsize=8)
        with whole_file(path) as part:
            figure.savefig(part, format="png")

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


def _panel(axis: Axes, mean: np.ndarray, deviation: np.ndarray | None, marker: str) -> None:
    frames = np.arange(len(mean))
    if deviation is not None:
        axis.fill_between(frames, mean - deviation, mean + deviation, color=_BAND, alpha=0.6, linewidth=0)
    axis.plot(frames, mean, color=_INK, linewidth=1.2, marker=marker, markersize=4)
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
