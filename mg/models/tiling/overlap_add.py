"""What tiles and windows become, added up where they meet."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class _Unit:
    """Samples start to stop of a stream (stop excluded); sums: (B, C, stop - start, H, W) fp32 once there are some."""

    start: int
    stop: int
    sums: np.ndarray | None = None


@dataclass(frozen=True)
class Spot:
    """Where a tile lies: clips of the batch, rows and columns of all (in samples), and the weights (h, w) inside it.

    inner: the rows and columns of the tile that count.
    """

    clips: slice
    rows: slice
    columns: slice
    weights: np.ndarray
    inner: tuple[slice, slice] = (slice(None), slice(None))


class OverlapAdd:
    """Samples of a stream that are not done with, in units that are handed over one after the other.

    size: (B, H, W) of all.
    """

    def __init__(self):
        self.units: deque[_Unit] = deque()

    def extend(self, edges: Sequence[int]) -> None:
        """Units between neighbouring edges come to be, as far as they lie behind those that there are."""
        known = self.units[-1].stop if self.units else edges[0]
        self.units.extend(_Unit(start, stop) for start, stop in zip(edges, edges[1:]) if known <= start < stop)

    def scale(self, start: int, weights: np.ndarray) -> None:
        """Multiply the samples from `start` on by one weight each."""
        for unit, inside, here in self._met(start, len(weights)):
            if unit.sums is not None:
                unit.sums[:, :, inside] *= weights[here, None, None]

    def add(self, start: int, weights: np.ndarray, size: tuple[int, int, int], spot: Spot, tile: np.ndarray) -> None:
        """Add a tile (B, C, T, h, w) whose samples begin at `start`, weighted over time and within the spot.

        Samples beyond the weights are left out.
        """
        for unit, inside, here in self._met(start, len(weights)):
            if not weights[here].any():
                continue
            if unit.sums is None:
                batch, height, width = size
                unit.sums = np.zeros((batch, tile.shape[1], unit.stop - unit.start, height, width), np.float32)
            part = unit.sums[spot.clips, :, inside, spot.rows, spot.columns]
            rows, columns = spot.inner
            for index, sample in enumerate(range(here.start, here.stop)):  # all at once would be one buffer more
                part[:, :, index] += tile[:, :, sample, rows, columns] * (weights[sample] * spot.weights)

    def take(self, stop: int) -> Iterator[np.ndarray]:
        """Hand the units over that end at or before `stop`."""
        while self.units and self.units[0].stop <= stop:
            yield self.units.popleft().sums

    def _met(self, start: int, count: int) -> Iterator[tuple[_Unit, slice, slice]]:
        """Units that `count` samples from `start` on lie in; which samples of the unit, and which of these."""
        for unit in self.units:
            first, last = max(unit.start, start), min(unit.stop, start + count)
            if first < last:
                yield unit, slice(first - unit.start, last - unit.start), slice(first - start, last - start)
