"""Named folds between axis orders. Inside the networks a clip is (B, T, C, H, W): a frame is one block of memory.

Folding frames into the batch is then free. The fold that brings time beside space is in by_device.py.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype


def frames_first(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B, T, C, H, W)."""
    return x.transpose(0, 2, 1, 3, 4)


def channels_first(x: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B, C, T, H, W)."""
    return x.transpose(0, 2, 1, 3, 4)


def to_frames(x: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B*T, C, H, W)."""
    return x.reshape(-1, *x.shape[2:])


def from_frames(x: Tensor, batch: int) -> Tensor:
    """(B*T, C, H, W) -> (B, T, C, H, W)."""
    return x.reshape(batch, -1, *x.shape[1:])


def to_pixels(x: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B*H*W, T, C): one sequence over time for every pixel."""
    batch, frames, channels, height, width = x.shape
    x = x.reshape(batch, frames, channels, height * width).transpose(0, 3, 1, 2)
    return x.reshape(batch * height * width, frames, channels)


def from_pixels(x: Tensor, batch: int, height: int, width: int) -> Tensor:
    """(B*H*W, T, C) -> (B, T, C, H, W)."""
    _, frames, channels = x.shape
    x = x.reshape(batch, height * width, frames, channels).transpose(0, 2, 3, 1)
    return x.reshape(batch, frames, channels, height, width)


def to_triples(x: Tensor, padding: tuple[int, int], stride: int = 1, zeros: bool = False) -> Tensor:
    """(B, T, C, H, W) -> (B*T', 3*C, H, W): what a kernel of three frames sees, their channels in a row.

    padding: frames put (before, after), the first and the last one repeated, or zeros. The 1x1 convolution of triples
    is the convolution over time: frames are copied as they lie, and nothing is transposed.
    """
    _, frames, channels, height, width = x.shape
    if zeros:
        x = ops.concat((ops.zeros_like(x[:, :1]), x), 1)
    x = ops.gather(x, _numbers_of_triples(frames, padding, stride, zeros), 1)
    return x.reshape(-1, 3 * channels, height, width)


@ops.constexpr
def _numbers_of_triples(frames: int, padding: tuple[int, int], stride: int, zeros: bool) -> Tensor:
    """The frames of every triple, in one row; with zeros in front of all frames, and standing for what is padded."""
    before, after = padding
    starts = np.arange(-before, frames + after - 2, stride)
    numbers = (starts[:, None] + np.arange(3)).ravel()
    if zeros:
        numbers = np.where((numbers < 0) | (numbers >= frames), 0, numbers + 1)
    return Tensor(np.clip(numbers, 0, frames - (not zeros)), mstype.int32)
