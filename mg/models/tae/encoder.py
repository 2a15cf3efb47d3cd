"""Pixels to posterior."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mg.models.latents import split_moments
from mg.models.layers.conv import Conv2_5d
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.pad import pad_sides
from mg.models.layers.resample import SpatialDownsample, TemporalDownsample
from mg.models.layers.resnet import ResidualBlock
from mg.models.tae.config import TAEConfig
from mg.models.tae.middle import Middle


class EncoderLevel(nn.Cell):
    """Residual blocks; then, except at the last level, half the rows, columns and frames.  (B, T, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, last: bool, config: TAEConfig):
        super().__init__()
        widths = [in_channels] + [out_channels] * config.num_res_blocks
        self.blocks = nn.CellList(
            [ResidualBlock(a, b, config.norm_num_groups, config.norm_statistics) for a, b in zip(widths, widths[1:])]
        )
        self.spatial_downsample = nn.Identity() if last else SpatialDownsample(out_channels)
        self.temporal_downsample = (
            nn.Identity() if last else TemporalDownsample(out_channels, config.downsample_padding)
        )

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.temporal_downsample(self.spatial_downsample(x))


class Encoder(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> mean and log-variance, (B, z, ceil(T/8), ceil(H/8), ceil(W/8)) in fp32.

    H and W are padded to multiples of 8 by repeating the last row and column. (8 is the compression of four levels.)
    """

    def __init__(self, config: TAEConfig):
        super().__init__()
        widths = [config.ch, *config.channels]
        self.compression = config.compression
        self.conv_in = Conv2_5d(3, config.ch)
        self.levels = nn.CellList(
            [
                EncoderLevel(a, b, level == len(config.channels) - 1, config)
                for level, (a, b) in enumerate(zip(widths, widths[1:]))
            ]
        )
        self.middle = Middle(widths[-1], config.norm_num_groups, config.norm_statistics)
        self.norm_out = GroupNorm(config.norm_num_groups, widths[-1], config.norm_statistics)
        self.conv_out = Conv2_5d(widths[-1], 2 * config.z_channels)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = frames_first(x)
        x = pad_sides(x, self.compression)
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        x = self.middle(x)
        x = self.conv_out(ops.silu(self.norm_out(x)))
        return split_moments(channels_first(x))
