"""Convolutions over space, and over time. Causal ones are in causal.py; no other file names a convolution operator.

Every layer computes in the type of its input; its weights are kept in fp32 and cast where they are used.
"""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer

from mg.models.layers.by_device import FoldTime, UnfoldTime
from mg.models.layers.folds import from_frames, to_frames, to_triples
from mg.models.layers.pad import replicate_pad

# What taps of three become where samples are repeated twice: by phase, tap of two, tap of three.
_ADDED = np.asarray([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


class Conv2d(nn.Cell):
    """2D convolution of (N, C, H, W).

    kernel, stride: (height, width). padding: zeros added at (top, bottom, left, right). bias: whether there is one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        bias: bool = True,
    ):
        super().__init__()
        shape = (out_channels, in_channels, *kernel)
        self.weight = Parameter(initializer(HeUniform(5**0.5), shape, mstype.float32))  # PyTorch's default start
        self.bias = Parameter(initializer("zeros", (out_channels,), mstype.float32)) if bias else None
        self.conv = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)

    def construct(self, x: Tensor) -> Tensor:
        return _convolved(self.conv, x, self.weight, self.bias)


class SpatialConv(Conv2d):
    """Square 2D convolution on every frame of (B, T, C, H, W); the default padding keeps H and W at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: tuple[int, int, int, int] | None = None,
        bias: bool = True,
    ):
        same = (kernel // 2,) * 4
        super().__init__(in_channels, out_channels, (kernel, kernel), (stride, stride), padding or same, bias)

    def construct(self, x: Tensor) -> Tensor:
        return from_frames(_convolved(self.conv, to_frames(x), self.weight, self.bias), x.shape[0])


class TemporalConv(Conv2d):
    """Kernel-3 convolution over time at every pixel of (B, T, C, H, W); starts as the identity.

    padding: frames put (before, after): the first and the last one repeated, or zeros.
    Without 3D convolutions, which are slow or missing in bf16 on Ascend. In training it is a (3, 1) 2D convolution over
    (T, H*W), since gradients then need no more than its input; otherwise the 1x1 convolution of triples of frames.
    Identity start: the centre tap is the unit matrix, other taps and bias are zero.
    """

    def __init__(self, channels: int, stride: int = 1, padding: tuple[int, int] = (1, 1), zeros: bool = False):
        super().__init__(channels, channels, (3, 1), (stride, 1))
        start = np.zeros(self.weight.shape, np.float32)
        start[:, :, 1, 0] = np.eye(channels)
        self.weight.set_data(Tensor(start))
        self.stride, self.padding, self.zeros = stride, padding, zeros
        self.fold = FoldTime(*padding, zeros)
        self.unfold = UnfoldTime()
        self.of_triples = ops.Conv2D(channels, (1, 1))

    def construct(self, x: Tensor) -> Tensor:
        if self.training:
            return self.unfold(self.of_folded(self.fold(x)), *x.shape[3:])
        triples = to_triples(x, self.padding, self.stride, self.zeros)
        weight = _weight_of_triples(self.weight)
        return from_frames(_convolved(self.of_triples, triples, weight, self.bias), x.shape[0])

    def of_folded(self, x: Tensor) -> Tensor:
        """(B, C, T, H*W) -> (B, C', T', H*W); a method, without which gradients are added up in another order."""
        return _convolved(self.conv, x, self.weight, self.bias)


class DoublingConv(nn.Cell):
    """What a `TemporalConv` gives of a clip whose every frame is repeated twice, computed from the frames before.

    (B, T, C, H, W), its weight and bias -> (B, 2*T, C, H, W). Both frames that come of one see the same triple of
    frames, each by two of its three taps: see `Phase`.
    """

    def __init__(self, channels: int, zeros: bool = False):
        super().__init__()
        taps = np.pad(_ADDED[0], ((0, 1), (0, 0))), np.pad(_ADDED[1], ((1, 0), (0, 0)))
        self.taps = Tensor(np.concatenate(taps).T)
        self.zeros = zeros
        self.of_triples = ops.Conv2D(2 * channels, (1, 1))
        self.matmul = ops.MatMul()

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        taps = self.matmul(weight.reshape(-1, 3), self.taps).reshape(channels, channels, 2, 3)
        weight = taps.transpose(2, 0, 3, 1).reshape(2 * channels, 3 * channels, 1, 1)
        triples = to_triples(x, (1, 1), 1, self.zeros)
        x = _convolved(self.of_triples, triples, weight, ops.concat((bias, bias)))
        return x.reshape(batch, 2 * frames, channels, height, width)


class Phase(nn.Cell):
    """One phase of a 3x3 convolution over pixels that are repeated twice both ways, computed from the pixels before.

    (N, C, H, W), weight (C', C, 3, 3), bias (C',) -> every second row and column of the result, (N, C', H, W).
    Of three neighbours among repeated samples two are the same one, so two taps can be added up beforehand: with taps
    (w0, w1, w2), the first of two equal samples gives w0 * x[n - 1] + (w1 + w2) * x[n], the second gives
    (w0 + w1) * x[n] + w2 * x[n + 1]. That is exact but for rounding, and 4/9 of the arithmetic. The taps are added
    inside the graph, so that weights can change at any time. row, column: 0 or 1.
    """

    def __init__(self, channels: int, row: int, column: int):
        super().__init__()
        self.taps = Tensor(np.kron(_ADDED[row], _ADDED[column]).T)
        self.conv = ops.Conv2D(channels, (2, 2), pad_mode="pad", pad=(1 - row, row, 1 - column, column))
        self.matmul = ops.MatMul()

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        added = self.matmul(weight.reshape(-1, 9), self.taps).reshape(*weight.shape[:2], 2, 2)
        return _convolved(self.conv, x, added, bias)


class Conv2_5d(nn.Cell):
    """3x3 convolution on every frame, then kernel 3 over time with replicate padding.  Movie Gen, section 3.1.1.

    (B, T, C, H, W) -> (B, T, C', H, W). Outside training computed with less work, and the same but for rounding: the
    first bias is the same at any time, so what becomes of it is added with the second; and from few channels to many,
    both convolutions are one, of three frames at once, since nothing comes between them.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.spatial = SpatialConv(in_channels, out_channels)
        self.temporal = TemporalConv(out_channels)
        self.joined = 27 * in_channels < 9 * in_channels + 3 * out_channels
        self.both = ops.Conv2D(out_channels, (3, 3), pad_mode="pad", pad=1)
        self.matmul = ops.MatMul()

    def construct(self, x: Tensor) -> Tensor:
        if self.training:
            return self.temporal(self.spatial(x))
        spatial, temporal = self.spatial, self.temporal
        bias = _of_constant(temporal.conv, spatial.bias, temporal.weight, temporal.bias)
        batch, frames, channels, _, _ = x.shape
        if self.joined:
            padded = replicate_pad(x, 1, 1, 1)
            seen = to_frames(ops.concat((padded[:, :frames], x, padded[:, 2:]), 2))
            return from_frames(_convolved(self.both, seen, self.weight_of_both(channels), bias), batch)
        x = from_frames(_convolved(spatial.conv, to_frames(x), spatial.weight, None), batch)
        triples, weight = to_triples(x, (1, 1)), _weight_of_triples(temporal.weight)
        return from_frames(_convolved(temporal.of_triples, triples, weight, bias), batch)

    def weight_of_both(self, channels: int) -> Tensor:
        """(C', 3*C, 3, 3): the kernels of both convolutions as one."""
        spatial = self.spatial.weight.reshape(-1, 9 * channels)
        taps = ops.unstack(self.temporal.weight.reshape(spatial.shape[0], -1, 3), 2)
        return ops.stack([self.matmul(tap, spatial) for tap in taps], 1).reshape(-1, 3 * channels, 3, 3)


def padded_at_sides(conv: ops.Conv2D) -> ops.Conv2D:
    """The same, but without rows of zeros above and below."""
    sides = (0, 0, *conv.pad[2:])
    return ops.Conv2D(conv.out_channel, conv.kernel_size, pad_mode="pad", pad=sides, stride=conv.stride[2:])


# Functions and not methods, and no loops: a method is compiled anew for every cell, and a loop for every round.


def _convolved(conv: ops.Conv2D, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(N, C, H, W) -> (N, C', H', W'), in the type of x."""
    x = conv(x, weight.astype(x.dtype))
    return x if bias is None else ops.bias_add(x, bias.astype(x.dtype))


def _weight_of_triples(weight: Tensor) -> Tensor:
    """(C', C, 3, 1) over time -> (C', 3*C, 1, 1), of what `to_triples` gives."""
    out_channels, channels = weight.shape[:2]
    return weight.reshape(out_channels, channels, 3).transpose(0, 2, 1).reshape(out_channels, 3 * channels, 1, 1)


def _of_constant(conv: ops.Conv2D, constant: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What a convolution over time makes of a clip that is the same everywhere and always, (C,) -> (C,)."""
    channels = constant.shape[0]
    constants = ops.broadcast_to(constant.reshape(1, channels, 1, 1), (1, channels, 3, 1))
    return conv(constants, weight).reshape(-1) + bias
