"""Operations that must be written differently for CPU and Ascend. The one place of its kind inside the networks.

MindSpore's CPU kernels for transposition and for arithmetic with broadcasting build an index of 8 to 32 bytes for every
element and keep it as long as the graph lives, layer by layer. On a CPU these cells use kernels without that index; the
results are the same. Elsewhere they are the plain operation.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg import runtime
from mg.models.layers.pad import replicate_pad, zero_pad


class FoldTime(nn.Cell):
    """(B, T, C, H, W) -> (B, C, before + T + after, H*W), the first and the last frame repeated, or zeros put there."""

    def __init__(self, before: int = 0, after: int = 0, zeros: bool = False):
        super().__init__()
        self.on_cpu = runtime.on_cpu()
        self.before, self.after = before, after
        self.pad = zero_pad if zeros else replicate_pad
        self.zeros = zeros

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        x = x.reshape(batch, frames, channels, height * width)
        if not self.on_cpu:
            return self.pad(x, 1, self.before, self.after).transpose(0, 2, 1, 3)
        frames = ops.unstack(x, 1)
        first, last = frames[0], frames[-1]
        if self.zeros:
            first = last = ops.zeros_like(first)
        return ops.stack((first,) * self.before + frames + (last,) * self.after, 2)


class UnfoldTime(nn.Cell):
    """Tensors (B, C, T, H*W), of which each has every n-th frame -> (B, n*T, C, H, W)."""

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()

    def construct(self, phases: tuple[Tensor, ...], height: int, width: int) -> Tensor:
        batch, channels, frames, pixels = phases[0].shape
        frames = frames * len(phases)
        if self.on_cpu:
            x = [ops.stack(ops.unstack(phase, 2), 1) for phase in phases]
            x = x[0] if len(phases) == 1 else ops.stack(x, 2)
        else:
            x = phases[0] if len(phases) == 1 else ops.stack(phases, 3).reshape(batch, channels, frames, pixels)
            x = x.transpose(0, 2, 1, 3)
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


class ScaleAndShiftRows(nn.Cell):
    """x * scale + shift, with one of each for every row.  x: (N, L); scale, shift: (N,); all fp32.

    On a CPU and outside training, as a BatchNorm with a mean of 0 and a variance of 1: one pass over x.
    """

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()
        self.outer = ops.MatMul()
        self.add = AddToRows()
        self.normalise = ops.BatchNorm(is_training=False, epsilon=1e-12)

    def construct(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        rows, length = x.shape
        if self.on_cpu and not self.training:
            ones = ops.ones_like(scale)
            x = x.reshape(1, rows, 1, length)
            return self.normalise(x, scale, shift, ops.zeros_like(scale), ones)[0].reshape(rows, length)
        scale = scale.reshape(rows, 1)
        if self.on_cpu:
            scale = self.outer(scale, ops.ones((1, length), mstype.float32))
        return self.add(x * scale, shift)
