"""Pixels to what tokens are made of: one number a bit."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.o2_magvit2.blocks import EPS, States, blocks, conv3, downsample, through
from mg.models.o2_magvit2.config import O2Magvit2Config


class EncoderLevel(nn.Cell):
    """Residual blocks; then, except at the last level, half the rows and columns, and half the frames at some."""

    def __init__(self, level: int, config: O2Magvit2Config):
        super().__init__()
        channels = config.channels
        widths = [channels[max(0, level - 1)]] + [channels[level]] * config.num_res_blocks
        last = level == len(channels) - 1
        self.blocks = blocks(widths, config)
        self.downsample = nn.CellList([] if last else [downsample(config, level)])

    def construct(self, x: Tensor, before: States) -> tuple[Tensor, States]:
        x, kept = through(self.blocks, x, before)
        x, own = through(self.downsample, x, before[len(kept) :])
        return x, kept + own


class Encoder(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> (B, bits, t, h, w) in fp32, of which the signs count.

    T: 1 + 4m at the beginning of a clip, 4m further on. H, W: multiples of the compression. (4 is the published
    model's.)
    """

    def __init__(self, config: O2Magvit2Config):
        super().__init__()
        width = config.channels[-1]
        self.conv_in = conv3(config, 3, config.filters)
        self.levels = nn.CellList([EncoderLevel(level, config) for level in range(len(config.channels))])
        self.final = blocks([width] * (config.num_res_blocks + 1), config)
        self.norm_out = GroupNorm(config.norm_groups, width, eps=EPS)
        self.conv_out = SpatialConv(width, config.token_size, kernel=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.carry(x, ())[0]

    def carry(self, x: Tensor, before: States) -> tuple[Tensor, States]:
        """The next piece of a clip: (raw output, states for the piece after it)."""
        x, first = self.conv_in(frames_first(x), before)
        x, further = through(self.levels, x, before[len(first) :])
        kept = first + further
        x, last = through(self.final, x, before[len(kept) :])
        x = self.conv_out(ops.silu(self.norm_out(x)))
        return channels_first(x.astype(mstype.float32)), kept + last
