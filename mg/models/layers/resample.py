"""Halving and doubling of space and time. All take and give (B, T, C, H, W).

Doubling repeats every sample and then convolves. In training it is computed just so; otherwise by phases, which is the
same but for rounding: see Phase and DoublingConv in mg.models.layers.conv.
"""

from __future__ import annotations

import math

from mindspore import Tensor, nn, ops

from mg.models.layers.conv import DoublingConv, Phase, SpatialConv, TemporalConv
from mg.models.layers.folds import to_frames


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
        self.conv = TemporalConv(channels, 2, {"end": (0, 2), "both": (1, 1)}[padding])

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SpatialUpsample(nn.Cell):
    """H and W doubled: every pixel repeated twice both ways, then a 3x3 convolution.

    halo: puts a row above and below; see `mg.models.layers.bands`.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv = SpatialConv(channels, channels)
        self.halo = None
        self.upper_left, self.upper_right = Phase(channels, 0, 0), Phase(channels, 0, 1)
        self.lower_left, self.lower_right = Phase(channels, 1, 0), Phase(channels, 1, 1)

    def construct(self, x: Tensor) -> Tensor:
        if self.training:
            return self.conv(interleave((x, x), (x, x), x.shape))
        frames = to_frames(x) if self.halo is None else self.halo(to_frames(x))
        weight, bias = self.conv.weight, self.conv.bias
        upper = self.upper_left(frames, weight, bias), self.upper_right(frames, weight, bias)
        lower = self.lower_left(frames, weight, bias), self.lower_right(frames, weight, bias)
        return interleave(upper, lower, x.shape)


class TemporalUpsample(nn.Cell):
    """T doubled: every frame repeated twice, then a convolution over time.  Starts as the plain repetition.

    A single frame stays a single frame: with replicate padding its two copies would be equal, here and in every layer
    that follows, so the caller repeats it at the end instead. Not so with zeros, which make the copies differ.
    padding: "replicate", or "zeros" as upstream's published weights need.
    """

    def __init__(self, channels: int, padding: str = "replicate"):
        super().__init__()
        self.zeros = padding == "zeros"
        self.conv = TemporalConv(channels, zeros=self.zeros)
        self.doubling = DoublingConv(channels, self.zeros)

    def construct(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and not self.zeros:
            return self.conv(x)
        if self.training:
            return self.conv(repeat_frames(x, 2))
        return self.doubling(x, self.conv.weight, self.conv.bias)


def depth_to_space(x: Tensor, over_time: int) -> Tensor:
    """(B, T, over_time * 4 * C, H, W) -> (B, T * over_time, C, 2H, 2W), of channels in that order: C changes fastest.

    The first axis of the channels goes to time, the next two to rows and columns.
    """
    batch, frames, channels, height, width = x.shape
    frames, channels = frames * over_time, channels // over_time // 4
    phases = ops.unstack(x.reshape(batch * frames, 4, channels, height * width), 1)
    return interleave(phases[:2], phases[2:], (batch, frames, channels, height, width))


def repeated(x: Tensor, over_time: int = 2) -> Tensor:
    """Every row and column twice, every frame `over_time` times.  (B, T, C, H, W) -> (B, T * over_time, C, 2H, 2W)."""
    return repeat_frames(interleave((x, x), (x, x), x.shape), over_time)


def repeat_frames(x: Tensor, times: int) -> Tensor:
    """(B, T, C, H, W) -> (B, T * times, C, H, W): every frame so many times in a row."""
    batch, frames, channels, height, width = x.shape
    if times == 1:
        return x
    x = x.reshape(batch * frames, 1, channels, height * width)
    return ops.concat([x] * times, 1).reshape(batch, times * frames, channels, height, width)


def blur_and_halve(x: Tensor, axis: int) -> Tensor:
    """Every second sample of an axis, from the first on, of [1, 2, 1] / 4 over it; ends are reflected.

    n samples become ceil(n / 2). Made of reshapes and slices: gradients of gradients are as cheap.  Zhang (arXiv
    1904.11486), with a kernel of three.
    """
    length, shape = x.shape[axis], x.shape
    x = x.reshape(-1, length, math.prod(shape[axis + 1 :]))
    if length % 2:
        x = ops.concat((x, x[:, length - 2 : length - 1]), 1)
    even, odd = ops.unstack(x.reshape(x.shape[0], -1, 2, x.shape[2]), 2)
    before = odd if length <= 2 else ops.concat((odd[:, :1], odd[:, :-1]), 1)  # a slice of nothing has no gradient
    return (0.5 * even + 0.25 * (before + odd)).reshape(*shape[:axis], -1, *shape[axis + 1 :])


def interleave(upper: tuple[Tensor, Tensor], lower: tuple[Tensor, Tensor], shape: tuple[int, ...]) -> Tensor:
    """Left and right columns of upper and of lower rows -> (B, T, C, 2H, 2W).

    shape: (B, T, C, H, W) of each of them; they may have other axes, as long as their elements lie in that order.
    """
    batch, frames, channels, height, width = shape
    rows = (batch * frames, channels * height, 1, 2 * width)
    both = ops.concat((ops.stack(upper, -1).reshape(rows), ops.stack(lower, -1).reshape(rows)), 2)
    return both.reshape(batch, frames, channels, 2 * height, 2 * width)
