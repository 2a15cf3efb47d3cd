"""VGG16 as far as LPIPS looks into it."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.layers.conv import Conv2d

WIDTHS = (64, 128, 256, 512, 512)
_DEPTHS = (2, 2, 3, 3, 3)


class MaxPool(nn.Cell):
    """The largest of every `size` x `size` pixels of (N, C, H, W), two pixels apart.

    In fp32, which is exact: Ascend's MaxPool knows no bf16.
    """

    def __init__(self, size: int):
        super().__init__()
        self.pool = ops.MaxPool(size, 2, "valid")

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(x.astype(mstype.float32)).astype(x.dtype)


class VGG16(nn.Cell):
    """The 13 convolutions of VGG16, with biases.  Simonyan and Zisserman (arXiv 1409.1556), configuration D.

    (N, 3, H, W), H and W at least 16 -> five features: the last ReLU before every pooling and the last of all.
    Layers are numbered, so parameters named, as in torchvision: features.0.weight, ..., features.28.bias.
    """

    widths = WIDTHS
    least_side = 16

    def __init__(self):
        super().__init__()
        layers, taps, channels = [], [], 3
        for width, depth in zip(WIDTHS, _DEPTHS):
            if layers:
                layers.append(MaxPool(2))
            for _ in range(depth):
                layers += [Conv2d(channels, width, (3, 3), padding=(1, 1, 1, 1)), nn.ReLU()]
                channels = width
            taps.append(len(layers) - 1)
        self.features = nn.CellList(layers)
        self.taps = tuple(taps)

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return tuple(found)

    @staticmethod
    def sizes(height: int, width: int) -> list[tuple[int, int]]:
        """(h, w) of the five features of a frame."""
        return [(height >> level, width >> level) for level in range(len(WIDTHS))]
