"""FVD: Frechet video distance of windows of frames.  Unterthiner et al. (arXiv 1812.01717)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mg.metrics.features import PairedFeatures, network_pixels
from mg.metrics.frechet import distance_of_sets
from mg.metrics.onnx import Network

FRAMES, SIDE, DIMENSIONS = 16, 224, 400
_REMEDY = (
    "make one with 'python tools/export/i3d.py --weights i3d_torchscript.pt --target i3d.onnx' "
    "and give it as --i3d_onnx (docs/metrics.md), or leave fvd out"
)


class FVD:
    """A set metric: features of windows of 16 frames, the 400 logits of I3D on Kinetics-400.

    Windows follow each other without overlap from the first frame on; the frames after the last whole one do not count.
    path: an ONNX file, (n, 3, 16, 224, 224) in [-1, 1] -> (n, 400). Raises InputError for another.
    """

    name = "fvd"

    def __init__(self, path: Path | str | None):
        shape = (None, 3, FRAMES, SIDE, SIDE)
        self.network = Network(path, "FVD's network", _REMEDY, [shape], (None, DIMENSIONS))
        self.about = {
            "definition": "Frechet distance of Gaussians fitted to logits of all windows, covariance over n - 1",
            "windows": f"{FRAMES} consecutive frames, no overlap, from the first frame on; a shorter rest is left out",
            "frames": f"resized to {SIDE}x{SIDE}, bilinear without antialiasing, aspect not kept",
            **self.network.about,
        }

    def scorer(self) -> _WindowScorer:
        """A scorer for a new clip: features (2, windows, 400). A clip shorter than a window has none."""
        return _WindowScorer(self.network)

    def distance(self, features: Iterable[np.ndarray]) -> float:
        """FVD of the features of each clip, read once and in order."""
        return distance_of_sets(features, self.name)


class _WindowScorer:
    def __init__(self, network: Network):
        self.window = np.zeros((2, 3, FRAMES, SIDE, SIDE), np.float32)
        self.features = PairedFeatures(network, self.window.shape[1:])
        self.frames = 0

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        place = self.frames % FRAMES
        self.window[0, :, place] = network_pixels(original, SIDE)
        self.window[1, :, place] = network_pixels(recon, SIDE)
        self.frames += 1
        if place == FRAMES - 1:
            self.features.add(*self.window)

    def finish(self) -> np.ndarray:
        return self.features.finish() if self.frames >= FRAMES else np.zeros((2, 0, DIMENSIONS), np.float32)
