"""The parts of encoder and decoder: what one level does, and what stands between the levels."""

from __future__ import annotations

from mindspore import Tensor, nn

from mg.models.layers.attention import SpatialAttention
from mg.models.layers.conv import SpatialConv
from mg.models.layers.resnet import ResidualBlock


class Level(nn.Cell):
    """Residual blocks that see every frame alone, from widths[0] to widths[-1] channels.  (B, T, C, H, W)."""

    def __init__(self, widths: list[int], groups: int):
        super().__init__()
        self.blocks = nn.CellList([ResidualBlock(a, b, groups, conv=SpatialConv) for a, b in zip(widths, widths[1:])])

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Middle(nn.Cell):
    """Residual block, attention over the pixels of a frame, residual block.  (B, T, C, H, W), same shape out."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, groups, conv=SpatialConv)
        self.spatial_attention = SpatialAttention(channels, groups)
        self.block2 = ResidualBlock(channels, channels, groups, conv=SpatialConv)

    def construct(self, x: Tensor) -> Tensor:
        return self.block2(self.spatial_attention(self.block1(x)))
