"""Latents to clips: the temporal VAE gives an image VAE's latents, which that decodes frame by frame."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.image_vae.decoder import Decoder as SpatialDecoder
from mg.models.layers.causal import CausalConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.opensora_vae.blocks import EPS, TemporalUpsample, residual_blocks
from mg.models.opensora_vae.config import OpenSoraVAEConfig


class DecoderLevel(nn.Cell):
    """At some levels twice the frames first; then residual blocks.  (B, T, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, doubles: bool, config: OpenSoraVAEConfig):
        super().__init__()
        widths = [in_channels] + [out_channels] * config.temporal_blocks
        self.upsample = TemporalUpsample(in_channels) if doubles else nn.Identity()
        self.blocks = residual_blocks(widths, config.temporal_groups)

    def construct(self, x: Tensor) -> Tensor:
        x = self.upsample(x)
        for block in self.blocks:
            x = block(x)
        return x


class TemporalDecoder(nn.Cell):
    """(B, z, t, h, w) latents -> (B, C, 4t, h, w) scaled image latents in fp32; the first may be of no frame.

    Levels have the numbers of the encoder's, and run from the last to the first.
    """

    def __init__(self, config: OpenSoraVAEConfig):
        super().__init__()
        last, groups = config.temporal_widths[-1], config.temporal_groups
        widths = [*config.temporal_widths[1:], last]  # of each level, and of what comes to the last one
        self.post_quant_conv = CausalConv(config.z_channels, config.z_channels, kernel=1)
        self.conv_in = CausalConv(config.z_channels, last)
        self.middle = residual_blocks([last] * (config.temporal_blocks + 1), groups)
        self.levels = nn.CellList(
            [
                DecoderLevel(a, b, level in config.halved_levels, config)
                for level, (a, b) in enumerate(zip(widths[1:], widths))
            ]
        )
        self.norm_out = GroupNorm(groups, widths[0], "clip", EPS)
        self.conv_out = CausalConv(widths[0], config.spatial_latent)

    def construct(self, z: Tensor) -> Tensor:
        x = self.conv_in(self.post_quant_conv(frames_first(z)))
        for block in self.middle:
            x = block(x)
        for level in self.levels[::-1]:
            x = level(x)
        x = self.conv_out(ops.silu(self.norm_out(x))).astype(mstype.float32)
        return channels_first(x)


class Decoder(nn.Cell):
    """(B, z, t, h, w) latents -> (B, 3, 4t, 8h, 8w) in fp32, nominally in [-1, 1], not clipped.

    Of a clip of T frames the last T count: the others stand for zeros that the encoder put in front.
    """

    def __init__(self, config: OpenSoraVAEConfig):
        super().__init__()
        self.factor = config.spatial_factor
        self.temporal = TemporalDecoder(config)
        self.spatial = SpatialDecoder(config.spatial)

    def construct(self, z: Tensor) -> Tensor:
        return self.spatial((self.temporal(z) / self.factor).astype(z.dtype))
