"""Latents to pixels."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.layers.conv import Conv2_5d
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resample import SpatialUpsample, TemporalUpsample
from mg.models.layers.resnet import ResidualBlock
from mg.models.tae.config import TAEConfig
from mg.models.tae.middle import Middle


class DecoderLevel(nn.Cell):
    """Residual blocks; then, except at the last level, twice the rows, columns and frames.  (B, T, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, last: bool, config: TAEConfig):
        super().__init__()
        widths = [in_channels] + [out_channels] * (config.num_res_blocks + 1)
        self.blocks = nn.CellList(
            [ResidualBlock(a, b, config.norm_num_groups, config.norm_statistics) for a, b in zip(widths, widths[1:])]
        )
        self.spatial_upsample = nn.Identity() if last else SpatialUpsample(out_channels)
        self.temporal_upsample = nn.Identity() if last else TemporalUpsample(out_channels, config.upsample_padding)

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.temporal_upsample(self.spatial_upsample(x))


class Decoder(nn.Cell):
    """(B, z, t, h, w) latents -> (B, 3, 8t, 8h, 8w) in fp32, nominally in [-1, 1], not clipped.

    Levels are numbered as they run: level 0 has the lowest resolution.
    """

    def __init__(self, config: TAEConfig):
        super().__init__()
        widths = [config.channels[-1], *reversed(config.channels)]
        self.compression = config.compression
        self.conv_in = Conv2_5d(config.z_channels, widths[0])
        self.middle = Middle(widths[0], config.norm_num_groups, config.norm_statistics)
        self.levels = nn.CellList(
            [
                DecoderLevel(a, b, level == len(config.channels) - 1, config)
                for level, (a, b) in enumerate(zip(widths, widths[1:]))
            ]
        )
        self.norm_out = GroupNorm(config.norm_num_groups, widths[-1], config.norm_statistics)
        self.conv_out = Conv2_5d(widths[-1], 3)

    def construct(self, z: Tensor) -> Tensor:
        x = self.conv_in(frames_first(z))
        x = self.middle(x)
        for level in self.levels:
            x = level(x)
        x = self.conv_out(ops.silu(self.norm_out(x))).astype(mstype.float32)
        if x.shape[1] == 1:  # a single latent frame stays one frame through all levels: see TemporalUpsample
            x = ops.concat([x] * self.compression, 1)
        return channels_first(x)
