"""FID: Frechet Inception distance of frames.  Heusel et al. (arXiv 1706.08500)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mg.metrics.features import PairedFeatures, network_pixels
from mg.metrics.frechet import distance_of_sets
from mg.metrics.onnx import Network

SIDE, DIMENSIONS = 299, 2048
_REMEDY = (
    "make one with 'python tools/export/inception.py --weights pt_inception-2015-12-05-6726825d.pth "
    "--target inception.onnx' and give it as --inception_onnx (docs/metrics.md), or leave fid out"
)


class FID:
    """A set metric: features of every frame, 2048 of InceptionV3's last average pooling.

    path: an ONNX file, (n, 3, 299, 299) in [-1, 1] -> (n, 2048). Raises InputError for another.
    """

    name = "fid"

    def __init__(self, path: Path | str | None):
        self.network = Network(path, "FID's network", _REMEDY, [(None, 3, SIDE, SIDE)], (None, DIMENSIONS))
        self.about = {
            "definition": "Frechet distance of Gaussians fitted to features of all frames, covariance over n - 1",
            "frames": f"every frame, resized to {SIDE}x{SIDE}, bilinear without antialiasing, aspect not kept",
            **self.network.about,
        }

    def scorer(self) -> _FrameScorer:
        """A scorer for a new clip: features (2, frames, 2048)."""
        return _FrameScorer(self.network)

    def distance(self, features: Iterable[np.ndarray]) -> float:
        """FID of the features of each clip, read once and in order."""
        return distance_of_sets(features, self.name)


class _FrameScorer:
    def __init__(self, network: Network):
        self.features = PairedFeatures(network, (3, SIDE, SIDE))

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        self.features.add(network_pixels(original, SIDE), network_pixels(recon, SIDE))

    def finish(self) -> np.ndarray:
        return self.features.finish()
