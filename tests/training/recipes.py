"""Recipes of a TAE of two levels, which compiles in half a minute, and of a toy, which does in seconds."""

from fractions import Fraction

import numpy as np
from toys import ToyVideoVAE

from mg.config import write_recipe
from mg.io.video import write_video
from mg.models import families
from mg.training.recipe import Recipe

SMALL = {"ch": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 2}
BASE = {
    "sample_n_frames": 4,
    "image_size": 16,
    "mixed_strategy": "video_only",
    "perceptual_weight": 0.0,
    "learning_rate": 1e-3,
    "num_workers": 1,
    "checkpoint_interval": 3,
    "validation_interval": 3,
    "max_steps": 3,
    "random_crop": True,
    "flip": True,
}


def write_clips(folder, count=5, frames=9, size=24):
    rng = np.random.default_rng(0)
    for index in range(count):
        still = np.kron(rng.integers(0, 256, (size // 8, size // 8, 3)), np.ones((8, 8, 1)))
        with write_video(folder / f"{index}.mp4", Fraction(25)) as file:
            for frame in range(frames):
                file.write(np.roll(still, frame, 1).astype(np.uint8))
    return folder


def recipe(folder, **changes):
    """A recipe for the clips in folder / "clips"."""
    if not (folder / "model.yaml").exists():
        write_recipe(folder / "model.yaml", SMALL)
        write_clips(folder / "clips")
    paths = {"video_folder": str(folder / "clips"), "model_config": str(folder / "model.yaml")}
    return Recipe.of({**BASE, **paths, **changes})


def toy_recipe(folder, **changes):
    """The same of a toy of a few layers, which is a family while tests run."""
    families.FAMILIES[ToyVideoVAE.family] = ToyVideoVAE
    return recipe(folder, **{"model": ToyVideoVAE.family, "model_config": None, **changes})
