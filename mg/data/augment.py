"""What is changed of a training clip once it is cut out. Each choice is drawn only where its setting is on."""

from __future__ import annotations

import numpy as np

from mg.data.config import DataConfig
from mg.io.colour import turn_colours


def augment(clip: np.ndarray, config: DataConfig, choices: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) uint8 mirrored, played backwards, made grey or with its colours turned, as `choices` has it."""
    if config.flip and choices.random() < 0.5:
        clip = clip[:, :, ::-1]
    if config.reverse and choices.random() < 0.5:
        clip = clip[::-1]
    angle, strength = 0.0, 1.0
    if config.colour_jitter > 0:
        angle, change = choices.uniform(-config.colour_jitter, config.colour_jitter, 2)
        angle, strength = np.pi * angle, 1.0 + change
    if config.grey_ratio > 0 and choices.random() < config.grey_ratio:
        strength = 0.0
    return clip if (angle, strength) == (0.0, 1.0) else turn_colours(clip, angle, strength)
