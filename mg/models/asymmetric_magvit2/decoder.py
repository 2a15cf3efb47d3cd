"""Latents to pixels."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.asymmetric_magvit2.blocks import ClipUpsample, Level, Middle
from mg.models.asymmetric_magvit2.config import AsymmetricMagVit2Config
from mg.models.layers.causal import CausalConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resample import SpatialUpsample


class DecoderLevel(Level):
    """Residual blocks; then, except at the last level, twice the rows and columns, and where `both` the frames."""

    def __init__(self, widths: list[int], last: bool, both: bool, groups: int):
        super().__init__(widths, groups)
        self.upsample = nn.Identity()
        if not last:
            self.upsample = ClipUpsample(widths[-1], groups) if both else SpatialUpsample(widths[-1])

    def construct(self, x: Tensor) -> Tensor:
        return self.upsample(super().construct(x))


class Decoder(nn.Cell):
    """(B, z, t, h, w) latents -> (B, 3, 4t - 3, 8h, 8w) in fp32, nominally in [-1, 1], not clipped.

    Levels are numbered as they run: level 0 has the lowest resolution. Every latent frame becomes 4 frames, and of the
    first one 3 are dropped at the end.
    """

    def __init__(self, config: AsymmetricMagVit2Config):
        super().__init__()
        widths, groups = [config.channels[-1], *reversed(config.channels)], config.norm_num_groups
        last = len(config.channels) - 1
        self.dropped = config.time_compression - 1
        self.conv_in = CausalConv(config.z_channels, widths[0])
        self.middle = Middle(widths[0], groups)
        self.levels = nn.CellList(
            [
                DecoderLevel(
                    [a] + [b] * (config.num_res_blocks + 1),
                    level == last,
                    last - level - 1 in config.temporal_levels,
                    groups,
                )
                for level, (a, b) in enumerate(zip(widths, widths[1:]))
            ]
        )
        self.norm_out = GroupNorm(groups, widths[-1], "clip")
        self.conv_out = CausalConv(widths[-1], 3)

    def construct(self, z: Tensor) -> Tensor:
        x = self.conv_in(frames_first(z))
        x = self.middle(x)
        for level in self.levels:
            x = level(x)
        x = self.conv_out(ops.silu(self.norm_out(x))).astype(mstype.float32)
        return channels_first(x[:, self.dropped :])
