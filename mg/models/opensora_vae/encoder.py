"""Clips to the posterior: an image VAE frame by frame, then the temporal VAE on its latents."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mg.models.image_vae.encoder import Encoder as SpatialEncoder
from mg.models.latents import split_moments
from mg.models.layers.causal import CausalConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.pad import zero_pad
from mg.models.opensora_vae.blocks import EPS, TemporalDownsample, residual_blocks
from mg.models.opensora_vae.config import OpenSoraVAEConfig


class EncoderLevel(nn.Cell):
    """Residual blocks; then, at some levels, half the frames.  (B, T, C, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, halves: bool, config: OpenSoraVAEConfig):
        super().__init__()
        widths = [in_channels] + [out_channels] * config.temporal_blocks
        self.blocks = residual_blocks(widths, config.temporal_groups)
        self.downsample = TemporalDownsample(out_channels) if halves else nn.Identity()

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


class TemporalEncoder(nn.Cell):
    """(B, C, T, h, w) scaled image latents -> mean and log-variance, (B, z, ceil(T/4), h, w) in fp32.

    T is filled up to a multiple of 4 by frames of zeros in front. (4 is the compression of two halved levels.)
    """

    def __init__(self, config: OpenSoraVAEConfig):
        super().__init__()
        first, *widths = config.temporal_widths
        last, groups = widths[-1], config.temporal_groups
        self.compression = config.time_compression
        self.conv_in = CausalConv(config.spatial_latent, first, bias=False)
        self.levels = nn.CellList(
            [
                EncoderLevel(a, b, level in config.halved_levels, config)
                for level, (a, b) in enumerate(zip([first, *widths], widths))
            ]
        )
        self.middle = residual_blocks([last] * (config.temporal_blocks + 1), groups)
        self.norm_out = GroupNorm(groups, last, "clip", EPS)
        self.conv_out = CausalConv(last, 2 * config.z_channels, kernel=1)
        self.quant_conv = CausalConv(2 * config.z_channels, 2 * config.z_channels, kernel=1)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = zero_pad(frames_first(x), 1, -x.shape[2] % self.compression, 0)
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        for block in self.middle:
            x = block(x)
        x = self.quant_conv(self.conv_out(ops.silu(self.norm_out(x))))
        return split_moments(channels_first(x))


class Encoder(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> mean and log-variance, (B, z, ceil(T/4), ceil(H/8), ceil(W/8)) in fp32.

    The image VAE's posterior gives its mean here; training draws a sample.
    """

    def __init__(self, config: OpenSoraVAEConfig):
        super().__init__()
        self.factor = config.spatial_factor
        self.spatial = SpatialEncoder(config.spatial)
        self.temporal = TemporalEncoder(config)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, _ = self.spatial(x)
        return self.temporal((mean * self.factor).astype(x.dtype))
