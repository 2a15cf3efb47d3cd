"""Frames cut into slices that are laid side by side, without blending: the way of another program, for its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mg.errors import InputError
from mg.models.tiling.overlap_add import Spot
from mg.models.tiling.plan import Window
from mg.models.tiling.space import Batch, SpaceTiles
from mg.slices import part_of, slice_of

Place = tuple[Window, np.ndarray]


class PastedSlices(SpaceTiles):
    """Slices over H and W, each computed with a quarter of its side more on every side, of which the centre counts.

    Around the frames lie zeros. What is encoded must be whole slices, of the sizes that `Tiles` has; what is decoded is
    cut into the smallest whole parts that it allows.
    """

    def batches(self, frames: list[np.ndarray]) -> Iterator[Batch]:
        row, column = (_border(place[0]) * self.in_unit for place in self.places[0])
        around = ((0, 0),) * 3 + ((row, row), (column, column))
        return super().batches([np.pad(frame, around) for frame in frames])

    def _axis(self, units: int) -> list[Place]:
        tiles = self.tiles
        if self.in_unit == 1:
            size = part_of(units, tiles.max_latent_size, tiles.min_latent_size)
        else:
            edge = units * self.in_unit
            size = slice_of(edge, tiles.max_size, tiles.min_size, tiles.divide) // self.in_unit
        if units % size:
            raise InputError(
                f"a side of {units * self.in_unit} is no whole number of slices of {size * self.in_unit}, as "
                "spatial_mode=paste has them; crop the frames"
            )
        ones = np.ones(size * self.out_unit, np.float32)
        return [(Window(start, start + size), ones) for start in range(0, units, size)]

    def _cut(self, frames: list[np.ndarray], row: Window, column: Window) -> np.ndarray:
        """With what lies around it. (Frames have their border of zeros here.)"""
        return super()._cut(frames, *(Window(w.start, w.stop + 2 * _border(w)) for w in (row, column)))

    def _spot(self, clips: slice, row: Place, column: Place) -> Spot:
        borders = [_border(place[0]) * self.out_unit for place in (row, column)]
        return replace(super()._spot(clips, row, column), inner=tuple(slice(b, -b) for b in borders))


def _border(window: Window) -> int:
    """In latents, what a slice is computed with on each side."""
    return window.length // 4
