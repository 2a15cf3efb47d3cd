"""Frames cut into tiles, and what became of them put together again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mg.models.tiling.plan import Window, blend_weights, sampled, windows


@dataclass(frozen=True)
class SpaceTiles:
    """Tiles over H and W, with sizes in units of the compression.

    tile, overlap, blend, batch, shared_statistics: see `mg.models.tiling.Tiles`.
    in_unit, out_unit: samples of one unit, going in and coming out.
    compute: a batch of tiles, a state and a reference or None -> what becomes of them, and a state; see
    `mg.models.tiling.Codec`.
    """

    tile: int
    overlap: int
    blend: str
    batch: int
    shared_statistics: bool
    in_unit: int
    out_unit: int
    compute: Callable[..., tuple[np.ndarray, Any]]

    def process(self, frames: list[np.ndarray], states: list, add: Callable[..., None]) -> list:
        """Process tiles of frames, in arrays (B, C, T, H, W); of states one goes in and out for each call of `compute`.

        add: takes what became of each tile, as `mg.models.tiling.overlap_add.OverlapAdd.add` does from its `size` on.
        All tiles have one size: the last ones end at the edge, and more than two may then meet.
        """
        clips, (height, width) = len(frames[0]), (side // self.in_unit for side in frames[0].shape[3:])
        size = clips, height * self.out_unit, width * self.out_unit
        spots = list(product(self.plan(height), self.plan(width)))
        batch = min(self.batch, len(spots))
        shared = self.shared_statistics and len(spots) > 1
        before, after = iter(states), []
        for chosen_clips in [slice(index, index + 1) for index in range(clips)] if shared else [slice(None)]:
            parts = [frame[chosen_clips] for frame in frames]
            reference = self.reference(parts, height, width) if shared else None  # of each clip by itself
            for first in range(0, len(spots), batch):
                chosen = spots[first : first + batch]
                inputs = [self.cut(parts, row, column) for (row, _), (column, _) in chosen]
                inputs = np.concatenate(inputs + inputs[-1:] * (batch - len(chosen)))
                results, state = self.compute(inputs, next(before, None), reference)
                after.append(state)
                for ((row, over_rows), (column, over_columns)), result in zip(chosen, np.split(results, batch)):
                    place = chosen_clips, *_index(row, column, self.out_unit)
                    add(size, place, result, np.outer(over_rows, over_columns))
                del inputs, results, result  # while the next tiles are computed
        return after if any(state is not None for state in after) else []

    def cut(self, frames: list[np.ndarray], row: Window, column: Window) -> np.ndarray:
        """A tile of the frames, (B, C, T, h, w)."""
        return np.concatenate([frame[_index(row, column, self.in_unit)] for frame in frames], 2)

    def plan(self, units: int) -> list[tuple[Window, np.ndarray]]:
        """Each window of an axis, in units, with the weights of what comes out of it."""
        plan = windows(units, self.tile, self.overlap, last_at_end=True)
        samples = [Window(w.start * self.out_unit, w.stop * self.out_unit) for w in plan]
        return list(zip(plan, blend_weights(samples, self.blend)))

    def reference(self, frames: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """A tile put together from small blocks of the whole frame, spread evenly, at their own scale."""
        unit = np.arange(self.in_unit)
        rows, columns = (
            np.add.outer(sampled(side, self.tile) * self.in_unit, unit).ravel() for side in (height, width)
        )
        return np.concatenate([frame[..., rows, :][..., columns] for frame in frames], 2)


def _index(row: Window, column: Window, unit: int) -> tuple:
    return ..., *(slice(window.start * unit, window.stop * unit) for window in (row, column))
