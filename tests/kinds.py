"""The families that the battery runs for: a nano model of each, and what it promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mindspore import Tensor
from toys import ToyTokenizer, ToyVideoVAE

from mg.models import families
from mg.models.autoencoder import Autoencoder


@dataclass(frozen=True)
class Kind:
    """A family and a small model of it. exact: windows over time give what the whole clip gives.

    recipe: keys that training needs beside the shared ones.
    """

    family: str
    config: Mapping[str, Any]
    tiles: Mapping[str, Any]
    exact: bool
    recipe: Mapping[str, Any] = field(default_factory=dict)


SMALL_TILES = {"spatial_tile": 16, "spatial_overlap": 8}
KINDS = (
    Kind(
        "tae",
        {"ch": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 2},
        {"encode_tile": 4, "encode_context": 2, "decode_tile": 4, "decode_overlap": 2, **SMALL_TILES},
        exact=False,
    ),
    Kind(
        "image_vae",
        {"block_out_channels": (8, 16), "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 2},
        {"encode_tile": 2, "decode_tile": 2, **SMALL_TILES},
        exact=True,
    ),
    Kind(
        "asymmetric_magvit2",
        {"ch": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "norm_num_groups": 2, "temporal_levels": (0,)},
        {"encode_tile": 5, "decode_tile": 5, **SMALL_TILES},
        exact=False,
    ),
    Kind(
        "opensora_vae",
        {
            **{"spatial_channels": (8, 16), "spatial_blocks": 1, "spatial_groups": 2, "temporal_channels": 8},
            **{"temporal_multiples": (1, 2), "temporal_blocks": 1, "temporal_groups": 2, "halved_levels": (0,)},
        },
        {"encode_tile": 5, "decode_tile": 5, **SMALL_TILES},
        exact=False,
        recipe={"latent_distance_weight": 1.0, "image_identity_weight": 1.0, "kl_weight": 0.0, "clip_kl_weight": 1e-6},
    ),
    Kind(
        "o2_magvit2",
        {
            "filters": 8,
            "channel_multipliers": (1, 2, 2),
            "num_res_blocks": 1,
            "temporal_downsample": (True, True),
            "token_size": 6,
            "norm_groups": 2,
        },
        {"encode_tile": 5, "decode_tile": 5, **SMALL_TILES},
        exact=True,
        recipe={"kl_weight": 0.0},
    ),
    Kind(
        "toy_tokenizer",
        {},
        {"encode_tile": 5, "decode_tile": 5, **SMALL_TILES},
        exact=True,
        recipe={"kl_weight": 0.0, "commitment_weight": [0.5, 0.1, 4]},
    ),
    Kind("toy_video_vae", {}, {"encode_tile": 5, "decode_tile": 5, **SMALL_TILES}, exact=False),
)


def register() -> None:
    """The one entry that a new family needs."""
    for kind in (ToyTokenizer, ToyVideoVAE):
        families.FAMILIES[kind.family] = kind


def build(kind: Kind, seed: int = 0, **options: Any) -> Autoencoder:
    """A model whose every weight is random, so that no part is an identity."""
    return randomised(families.family_of(kind.family)(dict(kind.config), dtype="fp32", **options), seed)


def randomised(model: Autoencoder, seed: int = 0) -> Autoencoder:
    """Give every parameter a random value that depends on `seed` alone; those of one axis stay near their start."""
    rng = np.random.default_rng(seed)
    for p in model.get_parameters():
        start = p.asnumpy() if len(p.shape) == 1 else 0
        scale = 0.1 if len(p.shape) == 1 else np.prod(p.shape[1:]) ** -0.5
        p.set_data(Tensor((start + scale * rng.standard_normal(p.shape)).astype(np.float32)))
    return model


def clip(*shape: int, seed: int = 0) -> np.ndarray:
    """Values in [-1, 1]."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
