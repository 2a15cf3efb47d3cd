"""Pixels to posterior."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mg.models.asymmetric_magvit2.blocks import ClipDownsample, Level, Middle
from mg.models.asymmetric_magvit2.config import AsymmetricMagVit2Config
from mg.models.latents import split_moments
from mg.models.layers.causal import CausalConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.pad import pad_sides, replicate_pad
from mg.models.layers.resample import SpatialDownsample


class EncoderLevel(Level):
    """Residual blocks; then, except at the last level, half the rows and columns, and where `both` the frames."""

    def __init__(self, widths: list[int], last: bool, both: bool, groups: int):
        super().__init__(widths, groups)
        kind = nn.Identity if last else ClipDownsample if both else SpatialDownsample
        self.downsample = kind() if last else kind(widths[-1])

    def construct(self, x: Tensor) -> Tensor:
        return self.downsample(super().construct(x))


class Encoder(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> mean and log-variance, (B, z, 1 + (T - 1)/4, H/8, W/8) in fp32.

    The last frame is repeated up to 1 + 4m of them, the last row and column up to multiples of 8. (4 is the compression
    of two levels that halve time, 8 of four levels.)
    """

    def __init__(self, config: AsymmetricMagVit2Config):
        super().__init__()
        widths, groups = [config.ch, *config.channels], config.norm_num_groups
        self.compression = config.space_compression
        self.time_compression = config.time_compression
        self.conv_in = CausalConv(3, config.ch)
        self.levels = nn.CellList(
            [
                EncoderLevel(
                    [a] + [b] * config.num_res_blocks, level == len(widths) - 2, level in config.temporal_levels, groups
                )
                for level, (a, b) in enumerate(zip(widths, widths[1:]))
            ]
        )
        self.middle = Middle(widths[-1], groups)
        self.norm_out = GroupNorm(groups, widths[-1], "clip")
        self.conv_out = CausalConv(widths[-1], 2 * config.z_channels)

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = frames_first(x)
        x = replicate_pad(x, 1, 0, (1 - x.shape[1]) % self.time_compression)
        x = pad_sides(x, self.compression)
        return split_moments(channels_first(self.moments(x)))

    def moments(self, x: Tensor) -> Tensor:
        """(B, T, 3, H, W) of whole latent frames, rows and columns -> (B, t, 2z, h, w), before anything is clamped."""
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        x = self.middle(x)
        return self.conv_out(ops.silu(self.norm_out(x)))
