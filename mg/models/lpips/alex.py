"""AlexNet as far as LPIPS looks into it."""

from __future__ import annotations

from mindspore import nn

from mg.models.layers.conv import Conv2d
from mg.models.lpips.backbone import Backbone, MaxPool


class AlexNet(Backbone):
    """The five convolutions of AlexNet, one tower, as in torchvision.  Krizhevsky (arXiv 1404.5997).

    (N, 3, H, W), H and W at least 31 -> five features: each convolution's ReLU.
    Layers are numbered, so parameters named, as in torchvision: features.0.weight, ..., features.10.bias.
    """

    widths = (64, 192, 384, 256, 256)
    least_side = 31

    def __init__(self):
        super().__init__(
            [
                *(_conv(3, 64, 11, stride=4, padding=2), nn.ReLU(), MaxPool(3)),
                *(_conv(64, 192, 5, padding=2), nn.ReLU(), MaxPool(3)),
                *(_conv(192, 384, 3, padding=1), nn.ReLU()),
                *(_conv(384, 256, 3, padding=1), nn.ReLU()),
                *(_conv(256, 256, 3, padding=1), nn.ReLU()),
            ],
            taps=(1, 4, 7, 9, 11),
        )

    @staticmethod
    def sizes(height: int, width: int) -> list[tuple[int, int]]:
        """(h, w) of the five features of a frame."""
        first = ((height - 7) // 4 + 1, (width - 7) // 4 + 1)
        second = _pooled(first)
        return [first, second, *[_pooled(second)] * 3]


def _conv(in_channels: int, out_channels: int, kernel: int, padding: int, stride: int = 1) -> Conv2d:
    return Conv2d(in_channels, out_channels, (kernel, kernel), (stride, stride), (padding,) * 4)


def _pooled(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] - 3) // 2 + 1, (size[1] - 3) // 2 + 1
