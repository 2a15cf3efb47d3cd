"""Frames cut into tiles, and what became of them put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from mg.models.tile_plan import Window, blend_weights, sampled, windows


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

    def process(self, frames: list[np.ndarray], states: list) -> tuple[np.ndarray, list]:
        """Process tiles of frames, in arrays (B, C, T, H, W), and blend them; of states one goes in and out a call.

        All tiles have one size: the last ones end at the edge, and more than two may then meet.
        """
        height, width = (side // self.in_unit for side in frames[0].shape[3:])
        spots = list(product(self.plan(height), self.plan(width)))
        if len(spots) == 1:
            result, state = self.compute(np.concatenate(frames, 2), *states)
            return result, _given([state])
        if self.shared_statistics and len(frames[0]) > 1:  # each clip has statistics of its own
            states = states or [[]] * len(frames[0])
            clips = ([frame[index : index + 1] for frame in frames] for index in range(len(states)))
            results, states = zip(*(self.process(clip, state) for clip, state in zip(clips, states)))
            return np.concatenate(results), list(states) if any(states) else []
        batch = min(self.batch, len(spots))
        calls = [spots[first : first + batch] for first in range(0, len(spots), batch)]
        reference = self.reference(frames, height, width) if self.shared_statistics else None
        out, after = None, []
        for chosen, state in zip(calls, states or [None] * len(calls)):
            inputs = [self.cut(frames, row, column) for (row, _), (column, _) in chosen]
            inputs = np.concatenate(inputs + inputs[-1:] * (batch - len(chosen)))
            results, state = self.compute(inputs, state, reference)
            after.append(state)
            results = np.split(results, batch)
            if out is None:
                out = np.zeros((*results[0].shape[:3], height * self.out_unit, width * self.out_unit), np.float32)
            for spot, result in zip(chosen, results):
                self.add(out, result, *spot)
            del inputs, results, result  # while the next tiles are computed
        return out, _given(after)

    def cut(self, frames: list[np.ndarray], row: Window, column: Window) -> np.ndarray:
        """A tile of the frames, (B, C, T, h, w)."""
        return np.concatenate([_cut(frame, row, column, self.in_unit) for frame in frames], 2)

    def add(
        self, out: np.ndarray, result: np.ndarray, row: tuple[Window, np.ndarray], column: tuple[Window, np.ndarray]
    ) -> None:
        """Add a tile to the whole; row and column: where it lies, and its weights there."""
        part, weight = _cut(out, row[0], column[0], self.out_unit), np.outer(row[1], column[1])
        for index in range(result.shape[2]):  # a product of the whole tile would be one buffer more
            part[:, :, index] += result[:, :, index] * weight

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


def _cut(array: np.ndarray, row: Window, column: Window, unit: int) -> np.ndarray:
    return array[..., row.start * unit : row.stop * unit, column.start * unit : column.stop * unit]


def _given(states: Iterable) -> list:
    """The states, or an empty list if the model keeps none."""
    states = list(states)
    return states if any(state is not None for state in states) else []
