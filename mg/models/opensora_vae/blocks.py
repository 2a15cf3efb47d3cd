"""The parts of the temporal encoder and decoder. All take and give (B, T, C, H, W)."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from mg.models.layers.causal import CausalConv
from mg.models.layers.norm import GroupNorm

EPS = 1e-5


class ResidualBlock(nn.Cell):
    """Norm over a clip, SiLU, causal convolution, twice; plus the input. No convolution has a bias."""

    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, "clip", EPS)
        self.conv1 = CausalConv(in_channels, out_channels, bias=False)
        self.norm2 = GroupNorm(groups, out_channels, "clip", EPS)
        self.conv2 = CausalConv(out_channels, out_channels, bias=False)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else CausalConv(in_channels, out_channels, kernel=1, bias=False)

    def construct(self, x: Tensor) -> Tensor:
        h = self.conv1(ops.silu(self.norm1(x)))
        h = self.conv2(ops.silu(self.norm2(h)))
        return self.shortcut(x) + h


class TemporalDownsample(CausalConv):
    """T -> T/2, T even: a convolution of stride 2 over time that sees one frame of zeros in front of the first."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, stride=(2, 1), front=1)


class TemporalUpsample(nn.Cell):
    """T -> 2T: a convolution to twice the channels, the first half of which is the first of two frames."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = CausalConv(channels, 2 * channels)

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        return self.conv(x).reshape(batch, 2 * frames, channels, height, width)


def residual_blocks(widths: Sequence[int], groups: int) -> nn.CellList:
    """Blocks from widths[0] to widths[-1] channels."""
    return nn.CellList([ResidualBlock(a, b, groups) for a, b in zip(widths, widths[1:])])
