"""Latents as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mg.io.plots import LARGE, SMALL, plot
from mg.io.tokens import bits_of

_GREY = "#475569"
_COLOURS = "RdBu_r"
_COLUMNS = 8
_GAP = 0.08  # of a channel's width
_MOST_NUMBERS = 12  # tokens in a row that have room for their numbers


def draw_latents(path: Path, z: np.ndarray, limit: float) -> None:
    """The channels of a latent frame (z, h, w) side by side, blue at -limit, white at 0, red at limit."""
    mosaic, corners = _mosaic(z)
    rows, columns = mosaic.shape
    with plot(path, 12, 12 * 0.92 * rows / columns + 0.8) as figure:
        axis = figure.subplots()
        shown = axis.imshow(mosaic, cmap=_COLOURS, vmin=-limit, vmax=limit, interpolation="nearest")
        for channel, (top, left) in enumerate(corners):
            text = f"{channel}   $\\sigma$ {z[channel].std():.2f}"
            axis.text(left - 0.5, top - 0.5 - 0.02 * z.shape[2], text, fontsize=9, color=_GREY, va="bottom")
        axis.axis("off")
        title = (
            f"Latents as a diffusion model sees them: {len(z)} channels, each with its number and standard deviation"
        )
        figure.suptitle(title, fontsize=LARGE, x=0.005, ha="left", color=_GREY)
        bar = figure.colorbar(shown, ax=axis, fraction=0.02, pad=0.01, aspect=30)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=SMALL, colors=_GREY)


def draw_tokens(path: Path, integers: np.ndarray, vocabulary: int) -> None:
    """The tokens of a latent frame (h, w), each in the colour of its bits, with its number where there is room."""
    height, width = integers.shape
    with plot(path, 6, 6 * height / width + 0.5) as figure:
        axis = figure.subplots()
        axis.imshow(token_colours(integers, vocabulary), interpolation="nearest")
        for (row, column), token in np.ndenumerate(integers) if width <= _MOST_NUMBERS else ():
            text = axis.text(column, row, str(token), fontsize=SMALL, ha="center", va="center")
            text.set_bbox({"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 1})
        axis.axis("off")
        title = f"{integers.size} tokens, {len(np.unique(integers))} different ones; their bits make their colours"
        figure.suptitle(title, fontsize=LARGE, x=0.005, ha="left", color=_GREY)


def token_colours(integers: np.ndarray, vocabulary: int) -> np.ndarray:
    """A colour of its own for each token, (..., 3) in [0, 1]: its bits are dealt in turn to red, green and blue.

    The first bits that a colour gets count most, so tokens that differ in their last bits look alike.
    """
    bits, colours = bits_of(vocabulary), []
    for first in range(3):
        level = np.zeros(integers.shape, np.int64)
        places = range(bits - 1 - first, -1, -3)
        for place in places:
            level = 2 * level + (integers >> place & 1)
        colours.append(level / max(2 ** len(places) - 1, 1))
    return np.stack(colours, -1)


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
