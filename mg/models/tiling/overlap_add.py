"""What tiles and windows become, added up in the frames that they share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class OverlapAdd:
    """Frames of a stream that are not done with: an fp32 array (B, C, T, H, W) for each latent frame.

    begins: where a latent frame begins, counted in frames.
    """

    def __init__(self, begins: Callable[[int], int]):
        self.begins = begins
        self.sums: dict[int, np.ndarray] = {}

    def scale(self, first: int, weights: np.ndarray) -> None:
        """Multiply as many frames as there are weights, from latent frame `first` on."""
        for latent, frames in self._latents(first, len(weights)):
            self.sums[latent] *= weights[frames, None, None]

    def add(
        self, first: int, weights: np.ndarray, size: tuple[int, ...], place: tuple, tile: np.ndarray, inside: np.ndarray
    ) -> None:
        """Add a tile whose frames begin with latent frame `first`, weighted over time and, by `inside`, over h and w.

        size: (B, H, W) of all; place: index of the tile in (B, C, T, H, W). Frames beyond the weights are left out.
        """
        for latent, frames in self._latents(first, len(weights)):
            if not weights[frames].any():
                continue
            if latent not in self.sums:
                batch, height, width = size
                shape = batch, tile.shape[1], frames.stop - frames.start, height, width
                self.sums[latent] = np.zeros(shape, np.float32)
            part = self.sums[latent][place]
            for index, frame in enumerate(range(frames.start, frames.stop)):  # all at once would be one buffer more
                part[:, :, index] += tile[:, :, frame] * (weights[frame] * inside)

    def take(self, latent: int) -> np.ndarray:
        """Hand the frames of a latent frame over."""
        return self.sums.pop(latent)

    def _latents(self, first: int, count: int) -> list[tuple[int, slice]]:
        """Latent frames that `count` frames make up, from `first` on, and which of the frames are theirs."""
        start, found, latent = self.begins(first), [], first
        while self.begins(latent) < start + count:
            found.append((latent, slice(self.begins(latent) - start, self.begins(latent + 1) - start)))
            latent += 1
        return found
