"""The image model -> a video model that gives exactly what the image model gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models import weights
from mg.models.o2_magvit2 import convert
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.model import O2Magvit2


@dataclass(frozen=True)
class Inflation:
    """A video model made from an image model, and how many of its tensors were made in which way."""

    model: O2Magvit2
    source: Path
    kernels: int
    doubled: int
    copied: int


def inflate(source: str | Path, temporal_downsample: Sequence[bool] | None = None, **options: int) -> Inflation:
    """Read an image model and build the video model that starts from it.

    source: a file of ours, or of the original's. temporal_downsample: of the video model; None: its last two levels
    that halve space halve time. options: of `convert.convert`, for the original's.
    Every causal kernel gets the image model's kernel for the frame that it stands at, its last one, and zeros for the
    frames before; depth to space in time gives both frames what the image model gives one. So at every frame of a clip
    whose frames are equal, and of a single one, all features are those of the image model.
    Raises InputError for a file that is no image model.
    """
    file = weights.TensorFile(source)
    image = O2Magvit2(pretrained=file) if file.header else convert.convert(file, **options)
    if not image.config["image_model"]:
        raise InputError(f"'{source}' is a video model already; name a file of an image model")
    model = O2Magvit2(_config(image, temporal_downsample))
    stored = {name: parameter.asnumpy() for name, parameter in weights.named_parameters(image).items()}
    tensors, ways = {}, dict.fromkeys(("kernels", "doubled", "copied"), 0)
    for name, parameter in weights.named_parameters(model).items():
        tensors[name], way = _inflated(stored[name], parameter.shape)
        ways[way] += 1
    weights.assign(model, list(tensors), tensors, file.path)
    return Inflation(model, file.path, **ways)


def _config(image: O2Magvit2, temporal_downsample: Sequence[bool] | None) -> O2Magvit2Config:
    config = O2Magvit2Config.from_mapping(image.config)
    if temporal_downsample is None:
        halving = len(config.temporal_downsample)
        temporal_downsample = [level >= halving - 2 for level in range(halving)]
    return replace(config, image_model=False, temporal_downsample=tuple(temporal_downsample))


def _inflated(tensor: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """A tensor of the image model in the shape that it has in the video model, and how it came to it."""
    way = "copied"
    if tensor.shape[0] != shape[0]:  # depth to space: the channels of both frames
        tensor, way = np.concatenate([tensor] * (shape[0] // tensor.shape[0])), "doubled"
    if tensor.ndim != len(shape):
        taps = np.zeros(shape, np.float32)
        taps[:, :, -1] = tensor
        tensor, way = taps, "kernels" if way == "copied" else way
    return tensor, way
