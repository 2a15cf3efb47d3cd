"""What encoder and decoder are built of: levels, resampling of clips, the middle. All take and give (B, T, C, H, W)."""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from mg.models.layers.attention import CausalAttention
from mg.models.layers.causal import CausalConv
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resample import repeated
from mg.models.layers.resnet import ResidualBlock

# Of the norms that come after a convolution, in ClipUpsample; all others have 1e-6.
_EPS_AFTER = 1e-5


class Level(nn.Cell):
    """Residual blocks from width to width, with the statistics of the whole clip."""

    def __init__(self, widths: Sequence[int], groups: int):
        super().__init__()
        self.blocks = nn.CellList([ResidualBlock(a, b, groups, "clip", CausalConv) for a, b in zip(widths, widths[1:])])

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Middle(nn.Cell):
    """Residual block, attention, residual block; same shape out."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, groups, "clip", CausalConv)
        self.attention = CausalAttention(channels, groups)
        self.block2 = ResidualBlock(channels, channels, groups, "clip", CausalConv)

    def construct(self, x: Tensor) -> Tensor:
        return self.block2(self.attention(self.block1(x)))


class ClipDownsample(nn.Cell):
    """T -> ceil(T/2), H and W halved, by one causal convolution, whose zeros lie on all sides of a frame."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = CausalConv(channels, channels, stride=(2, 2))

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(x)


class ClipUpsample(nn.Cell):
    """T, H and W doubled: samples repeated twice, plus what two convolutions, each with its norm behind it, make of it.

    u = repeated(x);  y = SiLU(norm2(conv2(SiLU(norm1(conv1(u))))) + u);  y + u.
    """

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.conv1 = CausalConv(channels, channels)
        self.norm1 = GroupNorm(groups, channels, "clip", _EPS_AFTER)
        self.conv2 = CausalConv(channels, channels)
        self.norm2 = GroupNorm(groups, channels, "clip", _EPS_AFTER)

    def construct(self, x: Tensor) -> Tensor:
        u = repeated(x)
        y = ops.silu(self.norm1(self.conv1(u)))
        return ops.silu(self.norm2(self.conv2(y)) + u) + u
