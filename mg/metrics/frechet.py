"""Frechet distance of two sets of features.  Dowson and Landau 1982; Heusel et al. (arXiv 1706.08500)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np

from mg.errors import InputError

_log = logging.getLogger(__name__)


class Moments:
    """Mean and covariance of samples that come in pieces, in float64 and without keeping them.

    Pieces are joined by the update of Chan, Golub and LeVeque 1983, which no common offset of the samples upsets.
    """

    def __init__(self):
        self.count, self.mean, self.scatter = 0, 0.0, 0.0

    def add(self, samples: np.ndarray) -> None:
        """Take (n, d) samples; n may be 0."""
        samples = samples.astype(np.float64)
        if not np.isfinite(samples).all():
            raise InputError("features hold values that are not finite; check the network's file and its frames")
        if not len(samples):
            return
        mean, total = samples.mean(0), self.count + len(samples)
        step = mean - self.mean
        rows = np.vstack([samples - mean, step * np.sqrt(self.count * len(samples) / total)])
        self.scatter = rows.T @ rows + self.scatter
        self.mean = self.mean + step * (len(samples) / total)
        self.count = total

    def covariance(self) -> np.ndarray:
        """(d, d), with the divisor n - 1. Raises InputError for fewer than two samples."""
        if self.count < 2:
            raise InputError(f"a covariance needs at least 2 samples, but there are {self.count}; give more frames")
        return self.scatter / (self.count - 1)


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of two Gaussians: the squared 2-Wasserstein distance.

    means: (d,). covariances: (d, d), symmetric and positive semidefinite, of any rank. At least 0.
    With C = R R^T, the trace of the root is the sum of the singular values of R_a^T R_b: no root of a rounded zero is
    taken, which would cost half of the digits.
    """
    root_a, root_b = _root(cov_a), _root(cov_b)
    overlap = np.linalg.svd(root_a.T @ root_b, compute_uv=False).sum() if root_a.size and root_b.size else 0.0
    spread = (root_a**2).sum() + (root_b**2).sum() - 2 * overlap
    return max(0.0, float(((mean_a - mean_b) ** 2).sum() + spread))


def distance_of_sets(features: Iterable[np.ndarray], name: str) -> float:
    """Distance of the originals' features from the reconstructions', (2, n, d) of each clip, read once.

    name: of the metric, for the log: with no more samples than dimensions, the figure is far too high.
    """
    original, recon = Moments(), Moments()
    for pair in features:
        original.add(pair[0])
        recon.add(pair[1])
    covariances = original.covariance(), recon.covariance()
    if original.count <= len(original.mean):
        _log.warning(
            "%s: %d samples for %d dimensions: the figure depends on their number, compare it with none of another",
            name,
            original.count,
            len(original.mean),
        )
    return frechet_distance(original.mean, covariances[0], recon.mean, covariances[1])


def _root(covariance: np.ndarray) -> np.ndarray:
    """R (d, rank) with R R^T = covariance. Eigenvalues within rounding of zero count as zero."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0)
    return vectors[:, kept] * np.sqrt(values[kept])
