"""A very small tokenizer whose every weight is random, and the image model of the same sizes."""

from __future__ import annotations

from kinds import KINDS, clip, randomised

from mg.models.o2_magvit2.model import O2Magvit2

__all__ = ["IMAGE", "VIDEO", "build", "clip"]

(VIDEO,) = (kind.config for kind in KINDS if kind.family == O2Magvit2.family)
IMAGE = {**VIDEO, "temporal_downsample": (False, False), "image_model": True}


def build(config=VIDEO, seed=0, **options):
    return randomised(O2Magvit2(config, **options), seed)
