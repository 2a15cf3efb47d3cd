"""Features of a clip's originals and reconstructions by a network, in batches of one fixed size."""

from __future__ import annotations

import numpy as np

from mg.io.pixels import to_clip
from mg.metrics.onnx import Network, Shape

BATCH = 8  # where the file leaves the size of a batch free


def network_pixels(frame: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (3, side, side) float32 in [-1, 1], bilinear; the aspect is not kept.

    As `torch.nn.functional.interpolate(align_corners=False, antialias=False)` on floats: no smoothing before shrinking,
    no rounding to levels, coordinates in fp32.
    """
    top, bottom, down = _taps(frame.shape[0], side)
    left, right, across = _taps(frame.shape[1], side)
    down, across = down[:, None, None], across[:, None]
    rows = frame[top] * (1 - down) + frame[bottom] * down
    pixels = rows[:, left] * (1 - across) + rows[:, right] * across
    return np.ascontiguousarray(to_clip(pixels[None])[:, 0])


class PairedFeatures:
    """Collects inputs of originals and of reconstructions, and runs the network on each whole batch.

    The two go through the network apart, at the same places of a batch, so that equal inputs give equal features.
    The last batch is filled up with its last input.
    """

    def __init__(self, network: Network, shape: Shape):
        self.network = network
        self.waiting = np.zeros((2, network.inputs[0][0] or BATCH, *shape), np.float32)
        self.filled, self.done = 0, []

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        """Take the next input of both, each without an axis for the batch."""
        self.waiting[:, self.filled] = original, recon
        self.filled += 1
        if self.filled == self.waiting.shape[1]:
            self._run()

    def finish(self) -> np.ndarray:
        """All features, (2, n, d) float32, of n >= 1 inputs."""
        if self.filled:
            self._run()
        return np.concatenate(self.done, axis=1)

    def _run(self) -> None:
        self.waiting[:, self.filled :] = self.waiting[:, self.filled - 1 : self.filled]
        self.done.append(np.stack([self.network(side)[: self.filled] for side in self.waiting]))
        self.filled = 0


def _taps(size: int, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each of `side` outputs: its two neighbours among `size` inputs, and the weight of the second."""
    centre = np.float32(size / side) * (np.arange(side, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    centre = np.maximum(centre, 0)
    first = centre.astype(np.int64)
    return first, np.minimum(first + 1, size - 1), centre - first.astype(np.float32)
