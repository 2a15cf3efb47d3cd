"""Pixels to posterior, frame by frame."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mg.models.image_vae.blocks import Level, Middle
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.latents import split_moments
from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.pad import pad_sides
from mg.models.layers.resample import SpatialDownsample


class EncoderLevel(Level):
    """Residual blocks; then, except at the last level, half the rows and columns.  (B, T, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, last: bool, config: ImageVAEConfig):
        super().__init__([in_channels] + [out_channels] * config.layers_per_block, config.norm_num_groups)
        self.spatial_downsample = nn.Identity() if last else SpatialDownsample(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.spatial_downsample(super().construct(x))


class Encoder(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> mean and log-variance, (B, z, T, ceil(H/8), ceil(W/8)) in fp32.

    H and W are padded to multiples of 8 by repeating the last row and column. (8 is the compression of four levels.)
    """

    def __init__(self, config: ImageVAEConfig):
        super().__init__()
        widths = [config.block_out_channels[0], *config.block_out_channels]
        moments = 2 * config.latent_channels
        self.compression = config.space_compression
        self.conv_in = SpatialConv(3, widths[0])
        self.levels = nn.CellList(
            [
                EncoderLevel(a, b, level == len(widths) - 2, config)
                for level, (a, b) in enumerate(zip(widths, widths[1:]))
            ]
        )
        self.middle = Middle(widths[-1], config.norm_num_groups)
        self.norm_out = GroupNorm(config.norm_num_groups, widths[-1])
        self.conv_out = SpatialConv(widths[-1], moments)
        self.quant_conv = SpatialConv(moments, moments, kernel=1) if config.use_quant_conv else nn.Identity()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = frames_first(x)
        x = pad_sides(x, self.compression)
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        x = self.middle(x)
        x = self.quant_conv(self.conv_out(ops.silu(self.norm_out(x))))
        return split_moments(channels_first(x))
