"""Figures and latents as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mg.files import whole_file

_INK, _BAND, _GREY = "#4f46e5", "#eef2ff", "#475569"
_COLOURS = "RdBu_r"
_COLUMNS = 8
_GAP = 0.08  # of a channel's width


def draw_curves(path: Path, scores: Mapping[str, list[float]], group: int) -> None:
    """For each name a panel of its scores by frame, and one of their mean by position in groups of `group` frames."""
    figure = Figure(figsize=(11, 2.5 * len(scores)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(scores), 2, squeeze=False, width_ratios=(3, 1))
    for (name, values), (by_frame, by_position) in zip(scores.items(), panels):
        values = np.array(values)
        for start in range(0, len(values), 2 * group):
            by_frame.axvspan(start + 0.5, min(start + group, len(values)) + 0.5, color=_BAND, linewidth=0)
        _plot(by_frame, np.arange(len(values)) + 1, values, f"{name}, by frame")
        by_frame.set_xlim(0.5, len(values) + 0.5)
        positions = np.arange(len(values)) % group
        means = np.array([values[positions == position].mean() for position in np.unique(positions)])
        _plot(by_position, np.arange(len(means)) + 1, means, f"by position in {group} frames")
        by_position.set_xlim(0.5, len(means) + 0.5)
    with whole_file(path) as part:
        figure.savefig(part, format="png")


def draw_latents(path: Path, z: np.ndarray, limit: float) -> None:
    """The channels of a latent frame (z, h, w) side by side, blue at -limit, white at 0, red at limit."""
    mosaic, corners = _mosaic(z)
    rows, columns = mosaic.shape
    figure = Figure(figsize=(12, 12 * 0.92 * rows / columns + 0.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    shown = axis.imshow(mosaic, cmap=_COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")
    for channel, (top, left) in enumerate(corners):
        text = f"{channel}   $\\sigma$ {z[channel].std():.2f}"
        axis.text(left - 0.5, top - 0.5 - 0.02 * z.shape[2], text, fontsize=9, color=_GREY, va="bottom")
    axis.axis("off")
    title = f"Latents as a diffusion model sees them: {len(z)} channels, each with its number and standard deviation"
    figure.suptitle(title, fontsize=10, x=0.005, ha="left", color=_GREY)
    bar = figure.colorbar(shown, ax=axis, fraction=0.02, pad=0.01, aspect=30)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=_GREY)
    with whole_file(path) as part:
        figure.savefig(part, format="png")


def _mosaic(z: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Channels (z, h, w) on one sheet, NaN between them, and each one's top and left."""
    channels, height, width = z.shape
    columns = min(channels, _COLUMNS)
    gap = max(1, round(_GAP * width))
    down, across = height + max(2 * gap, round(0.16 * width)), width + gap
    corners = [(down * (c // columns) + down - height, across * (c % columns)) for c in range(channels)]
    sheet = np.full((down * -(-channels // columns), across * columns - gap), np.nan)
    for channel, (top, left) in zip(z, corners):
        sheet[top : top + height, left : left + width] = channel
    return sheet, corners


def _plot(axis: Axes, positions: np.ndarray, values: np.ndarray, title: str) -> None:
    few = len(values) <= 64
    axis.plot(positions, values, color=_INK, linewidth=1.6, marker="o" if few else "", markersize=3.5)
    axis.set_title(title, fontsize=10, loc="left", color=_GREY)
    axis.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8, colors=_GREY)
