"""What the networks that LPIPS looks into share."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype


class MaxPool(nn.Cell):
    """The largest of every `size` x `size` pixels of (N, C, H, W), two pixels apart.

    In fp32, which is exact: Ascend's MaxPool knows no bf16.
    """

    def __init__(self, size: int):
        super().__init__()
        self.pool = ops.MaxPool(size, 2, "valid")

    def construct(self, x: Tensor) -> Tensor:
        return self.pool(x.astype(mstype.float32)).astype(x.dtype)


class Backbone(nn.Cell):
    """Layers one after the other, numbered as in torchvision, of which those in `taps` are looked at.

    (N, 3, H, W) -> the outputs of the taps.
    """

    def __init__(self, layers: Sequence[nn.Cell], taps: Sequence[int]):
        super().__init__()
        self.features = nn.CellList(layers)
        self.taps = tuple(taps)

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        found = []
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return tuple(found)
