"""The families of models that recipes can name, and what training needs to know of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mindspore import nn

from mg.models.tae.forward import TAEForward, blocks_by_level
from mg.models.tae.names import is_temporal
from mg.models.tae.tae import TemporalAutoencoder


@dataclass(frozen=True)
class Family:
    """build: (config or None, weights file or None, dtype) -> model, with `encode`, `decode`, `save` and `config`.

    forward: model -> cell that takes (clip, noise) to a dict of outputs, and has `noise_shape`.
    is_temporal: whether a parameter, by its structural name, is of a part that an image model does not have.
    blocks: model -> the cells that recomputation works on, level by level, those of the largest frames first.
    """

    build: Callable[[Mapping[str, Any] | None, str | None, str], nn.Cell]
    forward: Callable[[nn.Cell], nn.Cell]
    is_temporal: Callable[[str], bool]
    blocks: Callable[[nn.Cell], list[list[nn.Cell]]]


FAMILIES = {
    "tae": Family(
        build=lambda config, weights, dtype: TemporalAutoencoder(config, weights, dtype=dtype),
        forward=TAEForward,
        is_temporal=is_temporal,
        blocks=blocks_by_level,
    )
}
