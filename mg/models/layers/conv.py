"""Convolutions. The one file that names a convolution operator.

Every layer computes in the type of its input; its weights are kept in fp32 and cast where they are used.
"""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer

from mg.models.layers.by_device import FoldTime, UnfoldTime
from mg.models.layers.folds import from_frames, to_frames
from mg.models.layers.pad import replicate_pad

_ADDED = np.asarray([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)  # phase, tap of two, tap of three


class Conv2d(nn.Cell):
    """2D convolution of (N, C, H, W).

    kernel, stride: (height, width). padding: zeros added at (top, bottom, left, right).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    ):
        super().__init__()
        shape = (out_channels, in_channels, *kernel)
        self.weight = Parameter(initializer(HeUniform(5**0.5), shape, mstype.float32))  # PyTorch's default start
        self.bias = Parameter(initializer("zeros", (out_channels,), mstype.float32))
        self.conv = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)
        self.bias_add = ops.BiasAdd()

    def construct(self, x: Tensor) -> Tensor:
        return self.add_bias(self.without_bias(x), self.bias)

    def without_bias(self, x: Tensor) -> Tensor:
        return self.conv(x, self.weight.astype(x.dtype))

    def add_bias(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.bias_add(x, bias.astype(x.dtype))


class SpatialConv(Conv2d):
    """Square 2D convolution on every frame of (B, T, C, H, W); the default padding keeps H and W at stride 1."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        padding: tuple[int, int, int, int] | None = None,
    ):
        same = (kernel // 2,) * 4
        super().__init__(in_channels, out_channels, (kernel, kernel), (stride, stride), padding or same)

    def construct(self, x: Tensor) -> Tensor:
        return from_frames(super().construct(to_frames(x)), x.shape[0])


class TemporalConv(Conv2d):
    """Kernel-3 convolution over time at every pixel of (B, T, C, H, W); starts as the identity.

    padding: frames put (before, after): the first and the last one repeated, or zeros.
    Computed as a (3, 1) 2D convolution over (T, H*W): 3D convolutions are slow or missing in bf16 on Ascend.
    Identity start: the centre tap is the unit matrix, other taps and bias are zero.
    """

    def __init__(self, channels: int, stride: int = 1, padding: tuple[int, int] = (1, 1), zeros: bool = False):
        super().__init__(channels, channels, (3, 1), (stride, 1))
        start = np.zeros(self.weight.shape, np.float32)
        start[:, :, 1, 0] = np.eye(channels)
        self.weight.set_data(Tensor(start))
        self.fold = FoldTime(*padding, zeros)
        self.unfold = UnfoldTime()
        self.matmul = ops.MatMul()

    def construct(self, x: Tensor) -> Tensor:
        return self.with_bias(x, self.bias)

    def with_bias(self, x: Tensor, bias: Tensor) -> Tensor:
        """The convolution with another bias than its own."""
        x_folded = self.add_bias(self.without_bias(self.fold(x)), bias)
        return self.unfold((x_folded,), *x.shape[3:])

    def of_constant(self, constant: Tensor) -> Tensor:
        """What becomes of a clip that is the same everywhere and always, (C,) -> (C,); not with zeros as padding."""
        channels = constant.shape[0]
        taps = self.matmul(self.weight.reshape(-1, 3), ops.ones((3, 1), self.weight.dtype))
        return self.matmul(taps.reshape(channels, channels), constant.reshape(channels, 1)).reshape(-1) + self.bias


class Phase(nn.Cell):
    """One phase of a convolution of kernel 3 over samples that are repeated twice, computed from the samples before.

    (N, C, H, W), weight (C', C, 3, 3 or 1), bias (C',) -> every second sample of the result, (N, C', H, W).
    Of three neighbours among repeated samples two are the same one, so two taps can be added up beforehand: with taps
    (w0, w1, w2), the first of two equal samples gives w0 * x[n - 1] + (w1 + w2) * x[n], the second gives
    (w0 + w1) * x[n] + w2 * x[n + 1]. That is exact but for rounding, and 2/3 of the arithmetic along every axis that is
    doubled. The taps are added inside the graph, so that weights can change at any time.
    phase: 0 or 1 for each axis that is doubled: both, or only the first.
    pad: whether zeros are added where a phase looks beyond H and W; without, a doubled axis gets shorter by one.
    """

    def __init__(self, channels: int, phase: tuple[int, ...], pad: bool):
        super().__init__()
        taps = _ADDED[phase[0]] if len(phase) == 1 else np.kron(_ADDED[phase[0]], _ADDED[phase[1]])
        self.taps = Tensor(taps.T)
        self.kernel = (2,) * len(phase) + (1,) * (2 - len(phase))
        padding = [side for axis in phase for side in (1 - axis, axis)] if pad else [0] * 4
        self.conv = ops.Conv2D(channels, self.kernel, pad_mode="pad", pad=tuple(padding))
        self.bias_add = ops.BiasAdd()
        self.matmul = ops.MatMul()

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        added = self.matmul(weight.reshape(-1, self.taps.shape[0]), self.taps)
        added = added.reshape(*weight.shape[:2], *self.kernel).astype(x.dtype)
        return self.bias_add(self.conv(x, added), bias.astype(x.dtype))


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
        bias = self.temporal.of_constant(self.spatial.bias)
        batch, frames, channels, _, _ = x.shape
        if not self.joined:
            return self.temporal.with_bias(from_frames(self.spatial.without_bias(to_frames(x)), batch), bias)
        padded = replicate_pad(x, 1, 1, 1)
        seen = ops.concat((padded[:, :frames], x, padded[:, 2:]), 2)
        x = self.both(to_frames(seen), self.weight_of_both(channels).astype(x.dtype))
        return from_frames(self.temporal.add_bias(x, bias), batch)

    def weight_of_both(self, channels: int) -> Tensor:
        """(C', 3*C, 3, 3): the kernels of both convolutions as one."""
        spatial = self.spatial.weight.reshape(-1, 9 * channels)
        taps = ops.unstack(self.temporal.weight.reshape(spatial.shape[0], -1, 3), 2)
        return ops.stack([self.matmul(tap, spatial) for tap in taps], 1).reshape(-1, 3 * channels, 3, 3)
