"""Sizes of an encoder and a decoder with levels of residual blocks, which the shapes of their tensors tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mg.errors import InputError


@dataclass(frozen=True)
class Sizes:
    """first: channels of the first convolution; channels: of every level; blocks: of a level of the encoder."""

    first: int
    channels: tuple[int, ...]
    blocks: int
    latent_channels: int

    def multiples(self, source: Path) -> tuple[int, ...]:
        """Channels of every level as multiples of the first convolution's. Raises InputError where one is none."""
        odd = [channels for channels in self.channels if channels % self.first]
        if odd:
            raise InputError(
                f"'{source}' has a level of {odd[0]} channels, no multiple of the first layer's {self.first}"
            )
        return tuple(channels // self.first for channels in self.channels)


def sizes_of(tensors: Mapping[str, np.ndarray], source: Path, inner: str = "") -> Sizes:
    """Sizes read from the shapes of tensors under our names.

    inner: what stands between the name of a convolution and `.weight`, in a model that has more than one there.
    Raises InputError when a tensor that tells a size is missing or damaged.
    """
    block = f"conv1{inner}.weight"
    try:
        first = tensors[f"encoder.conv_in{inner}.weight"].shape[0]
        channels = []
        while (name := f"encoder.levels.{len(channels)}.blocks.0.{block}") in tensors:
            channels.append(tensors[name].shape[0])
        blocks = 0
        while f"encoder.levels.0.blocks.{blocks}.{block}" in tensors:
            blocks += 1
        latent_channels = tensors[f"encoder.conv_out{inner}.weight"].shape[0] // 2
    except KeyError as error:
        raise InputError(
            f"'{source}' has no tensor that means {error}; it is not a whole encoder and decoder"
        ) from None
    except IndexError:
        raise InputError(f"'{source}' has convolutions without axes; it is damaged") from None
    if first == 0:
        raise InputError(f"'{source}' has an empty first convolution; it is damaged")
    return Sizes(first, tuple(channels), blocks, latent_channels)
