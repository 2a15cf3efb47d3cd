"""Operations that must be written differently for CPU and Ascend. The one place of its kind inside the networks.

MindSpore's CPU kernels for transposition and for arithmetic with broadcasting build an index of 8 to 32 bytes for every
element and keep it as long as the graph lives, layer by layer. On a CPU these cells use kernels without that index; the
results are the same. Elsewhere they are the plain operation.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg import runtime


class FoldTime(nn.Cell):
    """(B, T, C, H, W) -> (B, C, T, H*W)."""

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        x = x.reshape(batch, frames, channels, height * width)
        if self.on_cpu:
            return ops.stack(ops.unstack(x, 1), 2)
        return x.transpose(0, 2, 1, 3)


class UnfoldTime(nn.Cell):
    """(B, C, T, H*W) -> (B, T, C, H, W)."""

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()

    def construct(self, x: Tensor, height: int, width: int) -> Tensor:
        batch, channels, frames, _ = x.shape
        x = ops.stack(ops.unstack(x, 2), 1) if self.on_cpu else x.transpose(0, 2, 1, 3)
        return x.reshape(batch, frames, channels, height, width)


class AddToRows(nn.Cell):
    """x + shift, with one shift for each row.  x: (N, L); shift: (N,); both fp32."""

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()

    def construct(self, x: Tensor, shift: Tensor) -> Tensor:
        rows, length = x.shape
        if self.on_cpu:
            return ops.bias_add(x.reshape(1, rows, length), shift).reshape(rows, length)
        return x + shift.reshape(rows, 1)


class ScaleRows(nn.Cell):
    """x * scale, with one scale for each row.  x: (N, L); scale: (N,); both fp32."""

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()
        self.outer = ops.MatMul()

    def construct(self, x: Tensor, scale: Tensor) -> Tensor:
        rows, length = x.shape
        scale = scale.reshape(rows, 1)
        if self.on_cpu:
            scale = self.outer(scale, ops.ones((1, length), mstype.float32))
        return x * scale
