"""Published weights of VGG16 or AlexNet and lpips heads -> the one file that `LPIPS` reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.files import require_file
from mg.models import torch_file, weights
from mg.models.lpips.network import Distance

SUFFIXES = (*torch_file.SUFFIXES, ".npz", *weights.SUFFIXES)
# lin0.model.1.weight in the lpips package's file; lins.0. in a saved module; lin0 in a plain .npz
_HEAD = re.compile(r"(?:lin|lins\.)(\d+)(?:\.model\.1\.weight)?")


def convert(features: Path | str, heads: Path | str, backbone: str = "vgg") -> tuple[Distance, bool]:
    """The network with the weights of two files, and whether its backbone has biases.

    features: torchvision's VGG16 (backbone "vgg") or AlexNet ("alex"), or mindcv's VGG16, whose convolutions have no
    biases: they become zero. The classifier is left out. heads: the five of lpips 0.1 for that backbone.
    Raises InputError for what is missing, unexpected or of another shape.
    """
    network = Distance(backbone)
    names = list(weights.named_parameters(network))
    convolutions = [name for name in names if name.startswith(f"{backbone}.")]
    tensors = _features(read(features), backbone)
    biases = backbone != "vgg" or any(name.endswith(".bias") for name in tensors)
    if not biases:
        tensors |= _zero_biases(tensors, convolutions)
    weights.assign(network, convolutions, tensors, features)
    lines = {_head_name(name): _as_line(value) for name, value in read(heads).items()}
    weights.assign(network, [name for name in names if name.startswith("heads.")], lines, heads)
    return network, biases


def read(path: Path | str) -> Mapping[str, np.ndarray]:
    """The tensors of a `.pth`, `.pt`, `.npz`, `.safetensors` or `.ckpt` file, in fp32."""
    suffix = Path(path).suffix
    if suffix in torch_file.SUFFIXES:
        return torch_file.read(path)
    if suffix == ".npz":
        return _read_npz(require_file(path, "an .npz file"))
    if suffix in weights.SUFFIXES:
        return weights.TensorFile(path)
    raise InputError(f"'{path}' is not read: its name must end in one of {', '.join(SUFFIXES)}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype(np.float32) for name in file}
    except Exception as error:  # of zipfile, zlib or NumPy, by where the damage is
        raise InputError(f"'{path}' is damaged or not an .npz file ({error}); copy or download it again") from None


def _features(tensors: Mapping[str, np.ndarray], backbone: str) -> dict[str, np.ndarray]:
    """The convolutions under our names."""
    return {f"{backbone}.{name}": tensors[name] for name in tensors if not name.startswith("classifier.")}


def _zero_biases(tensors: Mapping[str, np.ndarray], names: list[str]) -> dict[str, np.ndarray]:
    """Zero biases for those of `names` whose weight is there."""
    weight = {name: tensors.get(name.replace(".bias", ".weight")) for name in names if name.endswith(".bias")}
    return {name: np.zeros(len(w), np.float32) for name, w in weight.items() if w is not None}


def _head_name(name: str) -> str:
    match = _HEAD.fullmatch(name)
    return f"heads.{match[1]}.weight" if match else name


def _as_line(head: np.ndarray) -> np.ndarray:
    """A 1x1 convolution to one channel, (1, C, 1, 1), as (C,)."""
    return head.reshape(-1) if head.ndim == 4 and head.size == head.shape[1] else head
