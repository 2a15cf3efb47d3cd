"""Operations that must be written differently for CPU and Ascend. The one place of its kind inside the networks.

MindSpore's CPU kernels for transposition and for arithmetic with broadcasting build an index of 8 to 32 bytes for every
element and keep it as long as the graph lives, layer by layer. On a CPU these cells use kernels without that index; the
results are the same. Elsewhere they are the plain operation.
"""

from __future__ import annotations

from functools import cache

import numpy as np
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


class ScaleAndShiftRows(nn.Cell):
    """x * scale + shift, with one of each for every row.  x: (N, L); scale, shift: (N,); all fp32."""

    def __init__(self):
        super().__init__()
        self.on_cpu = runtime.on_cpu()
        self.outer = ops.MatMul()
        self.add = AddToRows()

    def construct(self, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        rows, length = x.shape
        scale = scale.reshape(rows, 1)
        if self.on_cpu:
            scale = self.outer(scale, ops.ones((1, length), mstype.float32))
        return self.add(x * scale, shift)


@cache
def norm_of_rows(groups: int, eps: float, per_clip: bool) -> NormOfRows:
    """One cell for all norms of a kind, which is compiled once."""
    return NormOfRows(groups, eps, per_clip)


class NormOfRows(nn.Cell):
    """GroupNorm of (B, T, C, H, W) by two kernels for BatchNorm, to which every row of pixels is a channel.

    For a CPU, outside of training: those kernels have no gradient with respect to statistics, so this has none at all.
    """

    def __init__(self, groups: int, eps: float, per_clip: bool):
        super().__init__()
        self.norm = groups, eps, per_clip
        self.one, self.zero = Tensor(np.ones(1, np.float32)), Tensor(np.zeros(1, np.float32))

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return _norm_of_rows(x, (weight, bias), (self.one, self.zero), self.norm)

    def bprop(self, x, weight, bias, out, dout):
        raise NotImplementedError("networks in inference form have no gradient on a CPU; call model.set_train() first")


_statistics = ops.BatchNorm(is_training=True, momentum=0.0)
_normalise = ops.BatchNorm(is_training=False, epsilon=1e-12)


def _norm_of_rows(
    x: Tensor, affine: tuple[Tensor, Tensor], units: tuple[Tensor, Tensor], norm: tuple[int, float, bool]
) -> Tensor:
    """A row's own mean and variance come first, so that sums are short and lose little; of them those of a group."""
    groups, eps, per_clip = norm
    batch, frames, channels, height, width = x.shape
    pixels = x.astype(mstype.float32)
    rows = batch * frames * channels * height
    ones, zeros = ops.broadcast_to(units[0], (rows,)), ops.broadcast_to(units[1], (rows,))
    found = _statistics(pixels.reshape(1, rows, 1, width), ones, zeros, zeros, ones)
    axes = (1, 3) if per_clip else 3
    means = found[3].reshape(batch, frames, groups, -1)
    mean = means.mean(axes, keep_dims=True)
    centred = means - mean
    variance = (found[4].reshape(means.shape) + centred * centred).mean(axes, keep_dims=True) + eps
    grouped, every = (batch, frames, groups, channels // groups), (batch * frames, channels)
    normal = _normalise(
        pixels.reshape(1, -1, 1, height * width),
        ops.broadcast_to(affine[0], every).reshape(-1),
        ops.broadcast_to(affine[1], every).reshape(-1),
        ops.broadcast_to(mean, grouped).reshape(-1),
        ops.broadcast_to(variance, grouped).reshape(-1),
    )
    return normal[0].astype(x.dtype).reshape(x.shape)
