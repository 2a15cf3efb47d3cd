"""Where tiles lie along an axis, and how they are weighted where they meet. Numbers only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mg.checks import is_whole
from mg.errors import InputError

MARGINS = {"linear": 0, "cosine": 1 / 8, "mean": 0}  # by blend: the share of an overlap before its ramp, and after it
BLENDS = tuple(MARGINS)
SAMPLED_BLOCKS = 8


@dataclass(frozen=True)
class Window:
    """Samples start to stop of an axis (stop excluded)."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


def check_tile(field: str, tile: int, overlap: int, first: int, step: int) -> None:
    """Raise InputError, naming `field`, unless tile and overlap can be used.

    A model takes `first` samples to one, and `step` more to each one more: the tile must be so many, and the overlap a
    multiple of the step from 0 to less than the tile.
    """
    overlap_field = field.replace("tile", "overlap")
    if first == step:
        check_multiple(field, tile, 1, step)
    elif not is_whole(tile) or tile < first or (tile - first) % step:
        raise InputError(f"{field}={tile!r} must be {first} and a multiple of {step}, as the model takes frames")
    check_multiple(overlap_field, overlap, 0, step)
    if overlap >= tile:
        raise InputError(f"{overlap_field}={overlap} must be less than {field}={tile}, or tiles would not move on")


def check_multiple(field: str, value: int, least: int, multiple: int) -> None:
    """Raise InputError, naming `field`, unless `value` is a whole multiple of `multiple` and at least `least`."""
    if not is_whole(value) or value < least or value % multiple:
        kind = "positive" if least else "non-negative"
        raise InputError(f"{field}={value!r} must be a {kind} multiple of {multiple}, what the model compresses to one")


def windows(length: int, tile: int, overlap: int, last_at_end: bool = False, context: int = 0) -> list[Window]:
    """Windows of `tile` samples, each but the first beginning `overlap` samples before its predecessor's end.

    They cover 0 to `length` and no more. The last one is as short as what is left, or, with `last_at_end`, moved back
    to have full length too (more than two windows may then meet). An axis no longer than a tile is one window.
    context: so many samples on either side are computed with a window and dropped. The first one, with nothing before
    it, looks twice as far ahead; the last one keeps all that is computed, and may be longer than a tile by as much. (An
    axis longer than a tile by no more than that is one window too, and filled up like any last one.)
    """
    step = tile - overlap
    count = 1 if length <= tile + 2 * context else -(-(length - tile - context) // step) + 1
    starts = [index * step for index in range(count)]
    if last_at_end and count > 1:
        starts[-1] = length - tile
    return [Window(start, start + tile) for start in starts[:-1]] + [Window(starts[-1], length)]


def edges(plan: Sequence[Window], blend: str = "linear") -> list[int]:
    """Every line inside an axis where a window of the plan starts or ends, or where its ramp does (see `rising`)."""
    lines = {line for window in plan for line in (window.start, window.stop)}
    for before, after in zip(plan, plan[1:]):
        margin = int(MARGINS[blend] * (before.stop - after.start) + 0.5)
        lines |= {after.start + margin, before.stop - margin}
    return sorted(lines - {0, plan[-1].stop})


def sampled(length: int, tile: int) -> np.ndarray:
    """Indices of `tile` samples that stand for a whole axis: SAMPLED_BLOCKS runs of neighbours, spread evenly over it.

    All indices of an axis no longer than a tile.
    """
    if length <= tile:
        return np.arange(length)
    block = max(1, tile // SAMPLED_BLOCKS)
    starts = np.rint(np.linspace(0, length - block, -(-tile // block))).astype(int)
    return np.add.outer(starts, np.arange(block)).ravel()[:tile]


def rising(overlap: int, blend: str = "linear") -> np.ndarray:
    """The later window's weights over an overlap of n samples; the earlier one's are what is missing to 1.

    blend: "linear" rises evenly from 1/2n to 1 - 1/2n; "mean" is 1/2; "cosine" is next to 0 over the first eighth and
    to 1 over the last, where a tile knows least of what lies around it, with half a turn of a cosine in between.
    """
    even = (np.arange(overlap) + 0.5) / overlap
    inner = np.clip((even - MARGINS["cosine"]) / (1 - 2 * MARGINS["cosine"]), 0, 1)
    cosine = np.clip(0.5 - 0.5 * np.cos(np.pi * inner), 1e-4, 1 - 1e-4)  # never 0: all of a sample's weights could be
    return {"linear": even, "mean": np.full(overlap, 0.5), "cosine": cosine}[blend]


def blend_weights(plan: Sequence[Window], blend: str = "linear") -> list[np.ndarray]:
    """Weights of each window's samples, fp32, which sum to 1 at every sample; see `rising`."""
    raw = [np.ones(window.length) for window in plan]
    for (before, w_before), (after, w_after) in zip(zip(plan, raw), zip(plan[1:], raw[1:])):
        overlap = before.stop - after.start
        if overlap > 0:
            w_after[:overlap] *= rising(overlap, blend)
            w_before[-overlap:] *= 1 - rising(overlap, blend)
    total = np.zeros(plan[-1].stop)
    for window, weight in zip(plan, raw):
        total[window.start : window.stop] += weight
    return [(w / total[window.start : window.stop]).astype(np.float32) for window, w in zip(plan, raw)]
