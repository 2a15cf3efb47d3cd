"""Latents to pixels, frame by frame."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.image_vae.blocks import Level, Middle
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resample import SpatialUpsample


class DecoderLevel(Level):
    """Residual blocks; then, except at the last level, twice the rows and columns.  (B, T, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, last: bool, config: ImageVAEConfig):
        super().__init__([in_channels] + [out_channels] * (config.layers_per_block + 1), config.norm_num_groups)
        self.spatial_upsample = nn.Identity() if last else SpatialUpsample(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.spatial_upsample(super().construct(x))


class Decoder(nn.Cell):
    """(B, z, T, h, w) latents -> (B, 3, T, 8h, 8w) in fp32, nominally in [-1, 1], not clipped.

    Levels are numbered as they run: level 0 has the lowest resolution. (8 is the compression of four levels.)
    """

    def __init__(self, config: ImageVAEConfig):
        super().__init__()
        latent = config.latent_channels
        widths = [config.block_out_channels[-1], *reversed(config.block_out_channels)]
        self.post_quant_conv = SpatialConv(latent, latent, kernel=1) if config.use_post_quant_conv else nn.Identity()
        self.conv_in = SpatialConv(latent, widths[0])
        self.middle = Middle(widths[0], config.norm_num_groups)
        self.levels = nn.CellList(
            [
                DecoderLevel(a, b, level == len(widths) - 2, config)
                for level, (a, b) in enumerate(zip(widths, widths[1:]))
            ]
        )
        self.norm_out = GroupNorm(config.norm_num_groups, widths[-1])
        self.conv_out = SpatialConv(widths[-1], 3)

    def construct(self, z: Tensor) -> Tensor:
        x = self.conv_in(self.post_quant_conv(frames_first(z)))
        x = self.middle(x)
        for level in self.levels:
            x = level(x)
        x = self.conv_out(ops.silu(self.norm_out(x))).astype(mstype.float32)
        return channels_first(x)
