"""A very small tokenizer whose every weight is random, and the image model of the same sizes."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor

from mg.models.o2_magvit2.model import O2Magvit2

VIDEO = {
    "filters": 8,
    "channel_multipliers": (1, 2, 2),
    "num_res_blocks": 1,
    "temporal_downsample": (True, True),
    "token_size": 6,
    "norm_groups": 2,
}
IMAGE = {**VIDEO, "temporal_downsample": (False, False), "image_model": True}


def build(config=VIDEO, seed=0, **options):
    model = O2Magvit2(config, **options)
    rng = np.random.default_rng(seed)
    for p in model.get_parameters():
        start = p.asnumpy() if len(p.shape) == 1 else 0
        scale = 0.1 if len(p.shape) == 1 else np.prod(p.shape[1:]) ** -0.5
        p.set_data(Tensor((start + scale * rng.standard_normal(p.shape)).astype(np.float32)))
    return model


def clip(*shape, seed=0):
    """Values in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
