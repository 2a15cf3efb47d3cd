"""Codes to pixels."""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resample import repeated
from mg.models.o2_magvit2.blocks import EPS, AdaptiveNorm, States, Upsample, blocks, conv3, through
from mg.models.o2_magvit2.config import O2Magvit2Config


class DecoderLevel(nn.Cell):
    """Adaptive norm and residual blocks: (features, code, before) -> (features, kept)."""

    def __init__(self, in_channels: int, out_channels: int, config: O2Magvit2Config):
        super().__init__()
        self.norm = AdaptiveNorm(in_channels, config)
        self.blocks = blocks([in_channels] + [out_channels] * config.num_res_blocks, config)

    def construct(self, x: Tensor, code: Tensor, before: States) -> tuple[Tensor, States]:
        return through(self.blocks, self.norm(x, code), before)


class GrowingLevel(DecoderLevel):
    """The same, then twice the rows and columns, and twice the frames at some.

    (features, code, before) -> (features, code of their size, kept).
    """

    def __init__(self, in_channels: int, out_channels: int, over_time: int, config: O2Magvit2Config):
        super().__init__(in_channels, out_channels, config)
        self.over_time = over_time
        self.upsample = Upsample(out_channels, over_time, config)

    def construct(self, x: Tensor, code: Tensor, before: States) -> tuple[Tensor, Tensor, States]:
        x, kept = super().construct(x, code, before)
        x, own = self.upsample(x, before[len(kept) :])
        code = repeated(code, self.over_time)
        return x, code[:, code.shape[1] - x.shape[1] :], kept + own


class Decoder(nn.Cell):
    """(B, bits, t, h, w), +1 and -1 -> (B, 3, 4t - 3, 16h, 16w) in fp32, nominally in [-1, 1], not clipped.

    Further on in a clip t become 4t frames. Levels are numbered as they run: level 0 has the lowest resolution. (4 and
    16 are the published model's compression.)
    """

    def __init__(self, config: O2Magvit2Config):
        super().__init__()
        widths = [config.channels[-1], *reversed(config.channels)]
        over_time = [2 if halves else 1 for halves in reversed(config.temporal_downsample)]
        self.conv_in = conv3(config, config.token_size, widths[0])
        self.first = blocks([widths[0]] * (config.num_res_blocks + 1), config)
        growing = [GrowingLevel(*sizes, config) for sizes in zip(widths, widths[1:], over_time)]
        self.levels = nn.CellList([*growing, DecoderLevel(widths[-2], widths[-1], config)])
        self.norm_out = GroupNorm(config.norm_groups, widths[-1], eps=EPS)
        self.conv_out = conv3(config, widths[-1], 3)

    def construct(self, z: Tensor) -> Tensor:
        return self.carry(z, ())[0]

    def carry(self, z: Tensor, before: States) -> tuple[Tensor, States]:
        """The next piece of a clip's latents: (frames, states for the piece after it)."""
        code = frames_first(z)
        x, kept = self.conv_in(code, before)
        x, own = through(self.first, x, before[len(kept) :])
        kept = kept + own
        for level in self.levels[:-1]:
            x, code, own = level(x, code, before[len(kept) :])
            kept = kept + own
        x, own = self.levels[-1](x, code, before[len(kept) :])
        kept = kept + own
        x, own = self.conv_out(ops.silu(self.norm_out(x)), before[len(kept) :])
        return channels_first(x.astype(mstype.float32)), kept + own
