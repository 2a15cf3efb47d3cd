"""A model whose networks are averages, in NumPy: for what commands do with a model, whatever its networks are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from media import nano_session

from mg.models.session import Session

LOGVAR = -4.0


def averaging_session(path: Path, seed: int = 0, **sizes: object) -> Session:
    """A nano model at work whose latents are means of two frames of 2x2 pixels; nothing is compiled."""
    session = nano_session(path, seed, **sizes)
    session.model.compute = compute
    return session


def compute(name: str, array: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
    """In place of `Autoencoder.compute`: (B, 3, T, H, W) -> (B, 8, t, h, w), or (B, 4, t, h, w) -> (B, 3, T, H, W)."""
    if name == "decoder":
        return array[:, :3].repeat(2, 2).repeat(2, 3).repeat(2, 4)
    batch, _, frames, height, width = array.shape
    filled = np.concatenate([array] + [array[:, :, -1:]] * (frames % 2), 2)
    means = filled.reshape(batch, 3, -1, 2, height // 2, 2, width // 2, 2).mean((3, 5, 7))
    mean = np.concatenate((means, means.mean(1, keepdims=True)), 1)
    return np.concatenate((mean, np.full_like(mean, LOGVAR)), 1)
