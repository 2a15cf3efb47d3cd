"""Plots drawn without a display and written as PNG: what all of them share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mg.files import whole_file

LINE, BAND = "#1f4e79", "#b3c9de"
SMALL, LARGE = 8, 10  # sizes of text
_DOTS_PER_INCH = 110


@contextmanager
def plot(path: Path | str, width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of so many inches; it is written to `path`, whole or not at all, when the block ends well."""
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with whole_file(path) as part:
        figure.savefig(part, format="png")


def dress(axis: Axes, title: str, along: str, most_ticks: int) -> None:
    """A panel with a title, whole numbers of what `along` names, a faint grid and no box."""
    axis.set_title(title, fontsize=LARGE, loc="left")
    axis.set_xlabel(along, fontsize=SMALL)
    axis.xaxis.set_major_locator(MaxNLocator(most_ticks, integer=True))
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=SMALL)
