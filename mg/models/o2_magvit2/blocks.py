"""The parts of encoder and decoder. All take and give (B, T, C, H, W).

What sees earlier frames, all convolutions of three frames, takes beside a piece of a clip the last frames of what it
was given before, and gives those for the next piece: `before` and `kept`, tuples of tensors, empty at the beginning of
a clip and of what sees every frame alone. So a clip in pieces gives what it gives in one.
"""

from __future__ import annotations

from collections.abc import Iterable

from mindspore import Tensor, nn, ops

from mg.models.layers.causal import CausalConv
from mg.models.layers.conv import SpatialConv
from mg.models.layers.norm import GroupNorm
from mg.models.layers.pad import zero_pad
from mg.models.layers.resample import depth_to_space
from mg.models.o2_magvit2.config import O2Magvit2Config

States = tuple[Tensor, ...]
EPS = 1e-5


class CausalStep(CausalConv):
    """A causal convolution of a piece: (x, before) -> (result, kept), the last 3 - stride frames that it was given."""

    def construct(self, x: Tensor, before: States) -> tuple[Tensor, States]:
        if before:
            return super().construct(x, before[0]), (_last(x, before[0], 3 - self.stride),)
        return super().construct(x), (_last(x, None, 3 - self.stride),)


class FrameStep(SpatialConv):
    """A convolution that sees every frame alone, in the same form."""

    def construct(self, x: Tensor, before: States) -> tuple[Tensor, States]:
        return super().construct(x), ()


def conv3(config: O2Magvit2Config, in_channels: int, out_channels: int, bias: bool = True) -> nn.Cell:
    """The 3x3x3 convolution of the model, or the 3x3 one of an image model."""
    if config.image_model:
        return FrameStep(in_channels, out_channels, bias=bias)
    return CausalStep(in_channels, out_channels, bias=bias)


def downsample(config: O2Magvit2Config, level: int) -> nn.Cell:
    """The convolution that halves rows and columns behind a level, and frames too where they are."""
    channels = config.channels[level]
    if config.image_model:
        return FrameStep(channels, channels, stride=2)
    return CausalStep(channels, channels, stride=(2 if config.temporal_downsample[level] else 1, 2))


class Block(nn.Cell):
    """Norm, SiLU, convolution, twice; plus the input, through a 1x1 convolution where the channels change."""

    def __init__(self, in_channels: int, out_channels: int, config: O2Magvit2Config):
        super().__init__()
        self.norm1 = GroupNorm(config.norm_groups, in_channels, eps=EPS)
        self.conv1 = conv3(config, in_channels, out_channels, bias=False)
        self.norm2 = GroupNorm(config.norm_groups, out_channels, eps=EPS)
        self.conv2 = conv3(config, out_channels, out_channels, bias=False)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else SpatialConv(in_channels, out_channels, kernel=1, bias=False)

    def construct(self, x: Tensor, before: States) -> tuple[Tensor, States]:
        h, first = self.conv1(ops.silu(self.norm1(x)), before[:1])
        h, second = self.conv2(ops.silu(self.norm2(h)), before[1:2])
        return self.shortcut(x) + h, first + second


def blocks(widths: list[int], config: O2Magvit2Config) -> nn.CellList:
    """Residual blocks one behind the other, from widths[0] to widths[-1] channels."""
    return nn.CellList([Block(a, b, config) for a, b in zip(widths, widths[1:])])


class AdaptiveNorm(nn.Cell):
    """GroupNorm whose scale and shift are made of the code at every place: (features, code) -> features.

    code: (B, T, bits, H, W), +1 and -1.  MAGVIT-v2 (arXiv 2310.05737), appendix.
    """

    def __init__(self, channels: int, config: O2Magvit2Config):
        super().__init__()
        self.norm = GroupNorm(config.norm_groups, channels, eps=EPS, affine=False)
        self.gamma = SpatialConv(config.token_size, channels, kernel=1)
        self.beta = SpatialConv(config.token_size, channels, kernel=1)

    def construct(self, x: Tensor, code: Tensor) -> Tensor:
        return self.norm(x) * (1.0 + self.gamma(code)) + self.beta(code)


class Upsample(nn.Cell):
    """Twice the rows and columns, and `over_time` times the frames, by a convolution and depth to space.

    Of the first piece of a clip the first over_time - 1 frames are dropped: its first frame stays one frame.
    """

    def __init__(self, channels: int, over_time: int, config: O2Magvit2Config):
        super().__init__()
        self.over_time = over_time
        self.conv = conv3(config, channels, 4 * over_time * channels)

    def construct(self, x: Tensor, before: States) -> tuple[Tensor, States]:
        x, kept = self.conv(x, before)
        x = depth_to_space(x, self.over_time)
        return (x if before else x[:, self.over_time - 1 :]), kept


def through(cells: Iterable[nn.Cell], x: Tensor, before: States) -> tuple[Tensor, States]:
    """Through one cell after the other; each takes its own of the states that come, and adds those for the next."""
    kept = ()
    for cell in cells:
        x, own = cell(x, before[len(kept) :])
        kept = kept + own
    return x, kept


def _last(x: Tensor, before: Tensor | None, count: int) -> Tensor:
    """The last frames of a piece and what came before it, zeros at the beginning of a clip."""
    if x.shape[1] < count:
        x = zero_pad(x, 1, count - x.shape[1], 0) if before is None else ops.concat((before, x), 1)
    return x[:, x.shape[1] - count :]
