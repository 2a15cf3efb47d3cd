"""Frames cut into tiles, and where what becomes of them lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from mg.models.tiling.overlap_add import Spot
from mg.models.tiling.plan import Window, blend_weights, sampled, windows
from mg.models.tiling.tiles import Tiles


@dataclass(frozen=True)
class Batch:
    """Tiles that go through the model together, a reference or None, and where each tile lies.

    cut: cuts them, (N, C, T, h, w), out of frames that are still there. clips: how many clips each tile is of. A last
    batch is filled up with its last tile, which then has no spot.
    """

    cut: Callable[[], np.ndarray]
    clips: int
    reference: np.ndarray | None
    spots: list[Spot]


class SpaceTiles:
    """Tiles over H and W of frames of one size.

    in_unit, out_unit: samples of one latent pixel, going in and coming out. size: (B, H, W) of all that comes out.
    All tiles have one size: the last ones end at the edge, and more than two may then meet.
    """

    def __init__(self, tiles: Tiles, compression: int, encoding: bool, shape: Sequence[int]):
        self.in_unit, self.out_unit = (compression, 1) if encoding else (1, compression)
        self.tiles = tiles
        self.tile, self.overlap = (size // compression for size in (tiles.spatial_tile, tiles.spatial_overlap))
        self.clips, self.sides = shape[0], [side // self.in_unit for side in shape[3:]]
        self.size = self.clips, *(side * self.out_unit for side in self.sides)
        self.places = list(product(*map(self._axis, self.sides)))

    def batches(self, frames: list[np.ndarray]) -> Iterator[Batch]:
        """Cut frames, in arrays (B, C, T, H, W) that follow each other in time."""
        shared = self.tiles.shared_statistics and len(self.places) > 1
        count = min(self.tiles.tile_batch, len(self.places))
        for clips in [slice(index, index + 1) for index in range(self.clips)] if shared else [slice(None)]:
            parts = [frame[clips] for frame in frames]
            reference = self._reference(parts) if shared else None  # of each clip by itself
            for first in range(0, len(self.places), count):
                yield self._batch(parts, self.places[first : first + count], count, clips, reference)

    def _batch(
        self, frames: list[np.ndarray], places: list, count: int, clips: slice, reference: np.ndarray | None
    ) -> Batch:
        def cut() -> np.ndarray:
            tiles = [self._cut(frames, row, column) for (row, _), (column, _) in places]
            return np.concatenate(tiles + tiles[-1:] * (count - len(tiles)))

        return Batch(cut, len(frames[0]), reference, [self._spot(clips, *place) for place in places])

    def _axis(self, units: int) -> list[tuple[Window, np.ndarray]]:
        """Each window of an axis, in latent pixels, with the weights of what comes out of it."""
        plan = windows(units, self.tile, self.overlap, last_at_end=True)
        samples = [Window(w.start * self.out_unit, w.stop * self.out_unit) for w in plan]
        return list(zip(plan, blend_weights(samples, self.tiles.spatial_blend)))

    def _spot(self, clips: slice, row: tuple[Window, np.ndarray], column: tuple[Window, np.ndarray]) -> Spot:
        rows, columns = (_samples(window, self.out_unit) for window in (row[0], column[0]))
        return Spot(clips, rows, columns, np.outer(row[1], column[1]))

    def _cut(self, frames: list[np.ndarray], row: Window, column: Window) -> np.ndarray:
        """A tile of the frames, (B, C, T, h, w)."""
        rows, columns = (_samples(window, self.in_unit) for window in (row, column))
        return np.concatenate([frame[..., rows, columns] for frame in frames], 2)

    def _reference(self, frames: list[np.ndarray]) -> np.ndarray:
        """A tile put together from small blocks of the whole frame, spread evenly, at their own scale."""
        unit = np.arange(self.in_unit)
        rows, columns = (np.add.outer(sampled(side, self.tile) * self.in_unit, unit).ravel() for side in self.sides)
        return np.concatenate([frame[..., rows, :][..., columns] for frame in frames], 2)


def _samples(window: Window, unit: int) -> slice:
    return slice(window.start * unit, window.stop * unit)
