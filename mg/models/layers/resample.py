"""Halving and doubling of space and time. All take and give (B, T, C, H, W)."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from mg.models.layers.conv import SpatialConv, TemporalConv
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

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        rows = ops.stack((x, x), -1).reshape(batch * frames, channels * height, 1, 2 * width)
        x = ops.concat((rows, rows), 2).reshape(batch, frames, channels, 2 * height, 2 * width)
        return self.conv(x)


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

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        if frames > 1 or self.zeros:
            x = x.reshape(batch * frames, 1, channels, height * width)
            x = ops.concat((x, x), 1).reshape(batch, 2 * frames, channels, height, width)
        x = zero_pad(x, 1, 1, 1) if self.zeros else replicate_pad(x, 1, 1, 1)
        return self.conv(x)
