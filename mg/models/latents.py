"""The diagonal Gaussian that an encoder gives."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype


def split_moments(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, (B, z, t, h, w) in fp32, from the encoder's (B, 2z, t, h, w).

    The log-variance is clamped to [-30, 20] here, once, for everything that uses it.
    """
    mean, logvar = ops.split(moments.astype(mstype.float32), moments.shape[1] // 2, 1)
    return mean, ops.clamp(logvar, -30.0, 20.0)


def sample(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """mean + standard deviation * noise; all of one shape."""
    return mean + ops.exp(0.5 * logvar) * noise


def draw_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal fp32 noise (B, z, t, h, w), drawn latent frame by latent frame.

    So a clip in pieces, with the same generator, gets the same noise as the clip in one.
    """
    batch, channels, frames, height, width = shape
    noise = rng.standard_normal((frames, batch, channels, height, width), dtype=np.float32)
    return np.ascontiguousarray(noise.transpose(1, 2, 0, 3, 4))
