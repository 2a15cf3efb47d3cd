"""VGG16 as far as LPIPS looks into it."""

from __future__ import annotations

from mindspore import nn

from mg.models.layers.conv import Conv2d
from mg.models.lpips.backbone import Backbone, MaxPool

WIDTHS = (64, 128, 256, 512, 512)
_DEPTHS = (2, 2, 3, 3, 3)


class VGG16(Backbone):
    """The 13 convolutions of VGG16, with biases.  Simonyan and Zisserman (arXiv 1409.1556), configuration D.

    (N, 3, H, W), H and W at least 16 -> five features: the last ReLU before every pooling and the last of all.
    Layers are numbered, so parameters named, as in torchvision: features.0.weight, ..., features.28.bias.
    """

    widths = WIDTHS
    least_side = 16

    def __init__(self):
        layers, taps, channels = [], [], 3
        for width, depth in zip(WIDTHS, _DEPTHS):
            if layers:
                layers.append(MaxPool(2))
            for _ in range(depth):
                layers += [Conv2d(channels, width, (3, 3), padding=(1, 1, 1, 1)), nn.ReLU()]
                channels = width
            taps.append(len(layers) - 1)
        super().__init__(layers, taps)

    @staticmethod
    def sizes(height: int, width: int) -> list[tuple[int, int]]:
        """(h, w) of the five features of a frame."""
        return [(height >> level, width >> level) for level in range(len(WIDTHS))]
