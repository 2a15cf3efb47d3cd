"""The residual block."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mg.models.layers.conv import Conv2_5d, SpatialConv
from mg.models.layers.norm import GroupNorm


class ResidualBlock(nn.Cell):
    """Norm, SiLU, convolution, twice; plus the input.  (B, T, C, H, W) -> (B, T, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, statistics: str):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, statistics)
        self.conv1 = Conv2_5d(in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels, statistics)
        self.conv2 = Conv2_5d(out_channels, out_channels)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else SpatialConv(in_channels, out_channels, kernel=1)

    def construct(self, x: Tensor) -> Tensor:
        h = self.conv1(ops.silu(self.norm1(x)))
        h = self.conv2(ops.silu(self.norm2(h)))
        return self.shortcut(x) + h
