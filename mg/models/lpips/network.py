"""LPIPS, version 0.1, on VGG16 or AlexNet: the network and its weights file.  Zhang et al. (arXiv 1801.03924)."""

from __future__ import annotations

import logging
from pathlib import Path

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import initializer

from mg.errors import InputError
from mg.models import weights
from mg.models.lpips.alex import AlexNet
from mg.models.lpips.vgg import VGG16

BACKBONES = {"vgg": VGG16, "alex": AlexNet}
FAMILIES = {name: f"lpips_{name}" for name in BACKBONES}
NO_BIASES = "its VGG16 has no biases: distances are perceptual, but not LPIPS, and not comparable with published ones"
_REMEDY = (
    "make the file with 'python tools/convert_lpips.py --vgg VGG16 --heads HEADS --target FILE', "
    "for evaluation also with --alex ALEXNET, and give it as lpips_weights (docs/losses.md, docs/metrics.md), "
    "or do without: perceptual_weight: 0 in training, no lpips and flolpips among the metrics"
)
IMAGENET_SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation for pixels in [-1, 1]
IMAGENET_SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10
_log = logging.getLogger(__name__)


class Head(nn.Cell):
    """Squared difference of two features of unit length, weighted by channel, averaged over space; in fp32.

    Two (N, C, H, W) -> (N,).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = Parameter(initializer("ones", (channels,), mstype.float32))
        self.pool = ops.BatchMatMul()

    def construct(self, x: Tensor, y: Tensor) -> Tensor:
        difference = self.unit(x) - self.unit(y)
        return ((difference * difference).mean((2, 3)) * self.weight).sum(1)

    def weighted(self, x: Tensor, y: Tensor, importance: Tensor) -> Tensor:
        """The same with the mean over space weighted by `importance`: (N, H*W, 1), of sum 1, in fp32."""
        batch, channels = x.shape[:2]
        difference = self.unit(x) - self.unit(y)
        square = (difference * difference).reshape(batch, channels, -1)
        return (self.pool(square, importance).reshape(batch, channels) * self.weight).sum(1)

    def unit(self, x: Tensor) -> Tensor:
        """x divided by its length over channels. A pixel without any feature stays zero, with a finite gradient."""
        x = x.astype(mstype.float32)
        square = (x * x).sum(1, keepdims=True)
        square = square + (square == 0).astype(mstype.float32)
        return x / (ops.sqrt(square) + _EPS)


class Distance(nn.Cell):
    """The network of LPIPS on the backbone "vgg" or "alex", frozen; its weights are random. `LPIPS` is the one to use.

    Parameters are named by the backbone: vgg.features.0.weight, ... or alex.features.0.weight, ...; heads.0.weight, ...
    """

    def __init__(self, backbone: str):
        super().__init__()
        self.backbone = backbone
        self.vgg = VGG16() if backbone == "vgg" else None
        self.alex = AlexNet() if backbone == "alex" else None
        self.heads = nn.CellList([Head(width) for width in BACKBONES[backbone].widths])
        self.shift = Tensor(IMAGENET_SHIFT, mstype.float32).reshape(1, 3, 1, 1)
        self.scale = Tensor(IMAGENET_SCALE, mstype.float32).reshape(1, 3, 1, 1)
        for parameter in self.get_parameters():
            parameter.requires_grad = False

    def construct(self, x: Tensor, y: Tensor) -> Tensor:
        features_x, features_y = self.features(x), self.features(y)
        total = 0.0
        for number, head in enumerate(self.heads):
            total = total + head(features_x[number], features_y[number])
        return total

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """The five features of images (N, 3, H, W) in [-1, 1], not yet of unit length."""
        x = self.standardise(x)
        return self.alex(x) if self.vgg is None else self.vgg(x)

    def standardise(self, x: Tensor) -> Tensor:
        return ((x.astype(mstype.float32) - self.shift) / self.scale).astype(x.dtype)


class LPIPS(Distance):
    """Distances of images: (N, 3, H, W) in [-1, 1], twice -> (N,) in fp32.  H and W at least 16 (VGG) or 31 (Alex).

    Convolutions compute in the type of the images. All parameters are frozen, and there is no dropout.
    path: a file that `tools/convert_lpips.py` made; it says which backbone. Raises InputError when it is missing or
    another file.
    """

    def __init__(self, path: Path | str | None):
        if path is None or not Path(path).is_file():
            given = "no LPIPS weights are given" if path is None else f"there are no LPIPS weights at '{path}'"
            raise InputError(f"{given}; {_REMEDY}")
        file = weights.TensorFile(path)
        found = [name for name, family in FAMILIES.items() if family == file.header.get("family")]
        if not found:
            raise InputError(f"'{path}' does not hold LPIPS weights; {_REMEDY}")
        super().__init__(found[0])
        weights.assign(self, weights.named_parameters(self), file, path)
        self.biases = bool(file.header.get("biases"))
        if not self.biases:
            _log.warning("%s: %s", path, NO_BIASES)


def write(path: Path | str, network: Distance, biases: bool, dtype: str = "fp32") -> None:
    """Write the weights of `network`; `biases` says whether its backbone came with them."""
    header = {"family": FAMILIES[network.backbone], "biases": biases}
    weights.write(path, weights.named_parameters(network), header, dtype)
