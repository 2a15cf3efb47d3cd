"""Halving and doubling of space and time. All take and give (B, T, C, H, W).

Doubling repeats every sample and then convolves. In training it is computed just so; otherwise by phases, which is the
same but for rounding: see mg.models.layers.conv.Phase.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Tensor, nn, ops

from mg.models.layers.conv import Phase, SpatialConv, TemporalConv
from mg.models.layers.folds import to_frames
from mg.models.layers.kernels import FoldTime, UnfoldTime
from mg.models.layers.pad import replicate_pad, zero_pad


class SpatialDownsample(nn.Cell):
    """H and W halved by a 3x3 convolution of stride 2, padded with zeros at the bottom and the right."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = SpatialConv(channels, channels, stride=2, padding=(0, 1, 0, 1))

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(x)


class TemporalDownsample(nn.Cell):
    """T -> ceil(T/2) by a convolution of stride 2 over time.

    padding: "end" appends two copies of the last frame, and starts by keeping frames 1, 3, 5, ... and, when T is odd,
    the last one; "both" repeats the first and the last frame once, and starts by keeping frames 0, 2, 4, ...
    """

    def __init__(self, channels: int, padding: str = "end"):
        super().__init__()
        self.before, self.after = {"end": (0, 2), "both": (1, 1)}[padding]
        self.conv = TemporalConv(channels, stride=2)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(replicate_pad(x, 1, self.before, self.after))


class SpatialUpsample(nn.Cell):
    """H and W doubled: every pixel repeated twice both ways, then a 3x3 convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = SpatialConv(channels, channels)
        self.phases = nn.CellList([Phase(channels, (row, column), pad=True) for row in (0, 1) for column in (0, 1)])

    def construct(self, x: Tensor) -> Tensor:
        if self.training:
            return self.conv(_interleave((x, x, x, x)))
        phases = [phase(to_frames(x), self.conv.weight, self.conv.bias) for phase in self.phases]
        return _interleave([phase.reshape(x.shape) for phase in phases])


class TemporalUpsample(nn.Cell):
    """T doubled: every frame repeated twice, then a convolution over time.  Starts as the plain repetition.

    A single frame stays a single frame: with replicate padding its two copies would be equal, here and in every layer
    that follows, so the caller repeats it at the end instead. Not so with zeros, which make the copies differ.
    padding: "replicate", or "zeros" as upstream's published weights need.
    """

    def __init__(self, channels: int, padding: str = "replicate"):
        super().__init__()
        self.zeros = padding == "zeros"
        self.conv = TemporalConv(channels)
        self.phases = nn.CellList([Phase(channels, (phase,), pad=False) for phase in (0, 1)])
        self.fold = FoldTime()
        self.unfold = UnfoldTime()

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        single = frames == 1 and not self.zeros
        if self.training and not single:
            x = x.reshape(batch * frames, 1, channels, height * width)
            x = ops.concat((x, x), 1).reshape(batch, 2 * frames, channels, height, width)
        x = zero_pad(x, 1, 1, 1) if self.zeros else replicate_pad(x, 1, 1, 1)
        if self.training or single:
            return self.conv(x)
        x = self.fold(x)
        first = self.phases[0](x[:, :, :-1], self.conv.weight, self.conv.bias)
        second = self.phases[1](x[:, :, 1:], self.conv.weight, self.conv.bias)
        x = ops.stack((first, second), 3).reshape(batch, channels, 2 * frames, height * width)
        return self.unfold(x, height, width)


def _interleave(phases: Sequence[Tensor]) -> Tensor:
    """Four (B, T, C, H, W), of upper and lower rows and in them of left and right columns -> (B, T, C, 2H, 2W)."""
    batch, frames, channels, height, width = phases[0].shape
    rows = (batch * frames, channels * height, 1, 2 * width)
    upper, lower = (ops.stack(pair, -1).reshape(rows) for pair in (phases[:2], phases[2:]))
    return ops.concat((upper, lower), 2).reshape(batch, frames, channels, 2 * height, 2 * width)
