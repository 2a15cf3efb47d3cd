"""The residual block."""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from mg.models.layers.conv import Conv2_5d, SpatialConv
from mg.models.layers.norm import GroupNorm


class ResidualBlock(nn.Cell):
    """Norm, SiLU, convolution, twice; plus the input.  (B, T, C, H, W) -> (B, T, C', H, W).

    conv: makes the two convolutions, (channels in, channels out) -> cell: `Conv2_5d`, or `SpatialConv` for frames that
    know nothing of each other. The shortcut, where C' differs from C, is a 1x1 convolution on every frame.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int,
        statistics: str = "frame",
        conv: Callable[[int, int], nn.Cell] = Conv2_5d,
    ):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, statistics)
        self.conv1 = conv(in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels, statistics)
        self.conv2 = conv(out_channels, out_channels)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else SpatialConv(in_channels, out_channels, kernel=1)

    def construct(self, x: Tensor) -> Tensor:
        h = self.conv1(ops.silu(self.norm1(x)))
        h = self.conv2(ops.silu(self.norm2(h)))
        return self.shortcut(x) + h


def blocks_by_level(encoder: nn.Cell, decoder: nn.Cell) -> list[list[nn.Cell]]:
    """The residual blocks of both, from the level of the largest frames to that of the smallest and the middle.

    Both have `levels` of `blocks`, in the order in which they run, and a `middle` of `block1` and `block2`.
    """
    levels = [[*down.blocks, *up.blocks] for down, up in zip(encoder.levels, list(decoder.levels)[::-1])]
    for middle in (encoder.middle, decoder.middle):
        levels[-1] += [middle.block1, middle.block2]
    return levels
