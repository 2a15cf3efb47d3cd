"""Named folds between axis orders. Inside the networks a clip is (B, T, C, H, W): a frame is one block of memory.

Folding frames into the batch is then free. The fold that brings time beside space is in by_device.py.
"""

from mindspore import Tensor


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
