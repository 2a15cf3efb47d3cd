"""Convolutions over time and space that see no later frame. All take and give (B, T, C, H, W)."""

from __future__ import annotations

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer

from mg.models.layers.folds import frames_first, from_frames, to_frames, to_triples
from mg.models.layers.pad import zero_pad


class CausalConv(nn.Cell):
    """3D convolution with a cubic kernel of 3 or 1; time is padded in front only, H and W by zeros on all sides.

    stride: (time, space). front: frames of zeros before the first one; None is kernel - 1. With stride 2 over time that
    gives ceil(T / 2) frames, and so does front=1 for an even T, with other frames in the middle of the kernel.
    before: the last frames of what came before this piece of a clip, (B, front, C, H, W), in place of zeros.

    Computed as one 2D convolution of triples of frames, their channels in a row: 3D convolutions are slow on a CPU, and
    slow or missing in bf16 on Ascend. Of a single frame after zeros only the last tap is computed.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: tuple[int, int] = (1, 1),
        front: int | None = None,
        bias: bool = True,
    ):
        super().__init__()
        if kernel not in (1, 3):
            raise ValueError(f"kernel={kernel} must be 1 or 3")
        shape = (out_channels, in_channels, kernel, kernel, kernel)
        self.weight = Parameter(initializer(HeUniform(5**0.5), shape, mstype.float32))
        self.bias = Parameter(initializer("zeros", (out_channels,), mstype.float32)) if bias else None
        self.kernel, self.stride = kernel, stride[0]
        self.front = kernel - 1 if front is None else front
        side = (kernel, kernel)
        self.conv = ops.Conv2D(out_channels, side, pad_mode="pad", pad=kernel // 2, stride=(stride[1], stride[1]))
        self.bias_add = ops.BiasAdd()

    def construct(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        batch, frames = x.shape[:2]
        weight = self.weight.astype(x.dtype)
        if self.kernel == 1:
            seen, weight = to_frames(x), weight[:, :, 0]
        elif frames == 1 and before is None and self.front == 2:
            seen, weight = to_frames(x), weight[:, :, 2]
        else:
            front = self.front if before is None else 0
            x = x if before is None else ops.concat((before, x), 1)
            seen, weight = _triples(x, front, self.stride, self.training), _in_a_row(weight)
        y = self.conv(seen, weight)
        if self.bias is not None:
            y = self.bias_add(y, self.bias.astype(x.dtype))
        return from_frames(y, batch)


# Functions and not methods: see conv.py.


def _triples(x: Tensor, front: int, stride: int, training: bool) -> Tensor:
    """(B, T, C, H, W) -> (B*T', 3*C, H, W). While training by slices, whose gradients are cheap everywhere."""
    if not training:
        return to_triples(x, (front, 0), stride, zeros=True)
    x = zero_pad(x, 1, front, 0)
    count = (x.shape[1] - 3) // stride + 1
    taps = _every(x, 0, count, stride), _every(x, 1, count, stride), _every(x, 2, count, stride)
    return to_frames(ops.concat(taps, 2))


def _in_a_row(weight: Tensor) -> Tensor:
    """(C', C, 3, 3, 3) -> (C', 3*C, 3, 3), of what `to_triples` gives."""
    out_channels, channels = weight.shape[:2]
    return frames_first(weight).reshape(out_channels, 3 * channels, 3, 3)


def _every(x: Tensor, start: int, count: int, stride: int) -> Tensor:
    """x[:, start::stride][:, :count]; without a step, whose gradient is wrong on a CPU for any but the last axes."""
    if stride == 1:
        return x[:, start : start + count]
    missing = max(0, start + stride * count - x.shape[1])
    x = zero_pad(x, 1, 0, missing)[:, start : start + stride * count]
    return x.reshape(x.shape[0], count, stride, *x.shape[2:])[:, :, 0]
