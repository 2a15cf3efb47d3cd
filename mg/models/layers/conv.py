"""Convolutions. The one file that names a convolution operator.

Every layer computes in the type of its input; its weights are kept in fp32 and cast where they are used.
"""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer

from mg.models.layers.folds import from_frames, to_frames
from mg.models.layers.kernels import FoldTime, UnfoldTime
from mg.models.layers.pad import replicate_pad


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
        x = self.conv(x, self.weight.astype(x.dtype))
        return self.bias_add(x, self.bias.astype(x.dtype))


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
    """Kernel-3 convolution over time at every pixel of (B, T, C, H, W), without padding; starts as the identity.

    Computed as a (3, 1) 2D convolution over (T, H*W): 3D convolutions are slow or missing in bf16 on Ascend.
    Identity start: the centre tap is the unit matrix, other taps and bias are zero.
    """

    def __init__(self, channels: int, stride: int = 1):
        super().__init__(channels, channels, (3, 1), (stride, 1))
        start = np.zeros(self.weight.shape, np.float32)
        start[:, :, 1, 0] = np.eye(channels)
        self.weight.set_data(Tensor(start))
        self.fold = FoldTime()
        self.unfold = UnfoldTime()

    def construct(self, x: Tensor) -> Tensor:
        height, width = x.shape[3:]
        return self.unfold(super().construct(self.fold(x)), height, width)


class Conv2_5d(nn.Cell):
    """3x3 convolution on every frame, then kernel 3 over time with replicate padding.  Movie Gen, section 3.1.1.

    (B, T, C, H, W) -> (B, T, C', H, W).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.spatial = SpatialConv(in_channels, out_channels)
        self.temporal = TemporalConv(out_channels)

    def construct(self, x: Tensor) -> Tensor:
        x = self.spatial(x)
        return self.temporal(replicate_pad(x, 1, 1, 1))
