"""How different frames look to a network that was trained on images."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn

from mg.models.layers.folds import frames_first, to_frames
from mg.models.lpips.network import LPIPS


def perceptual(lpips: nn.Cell, clip: Tensor, recon: Tensor) -> Tensor:
    """3*H*W times the mean LPIPS of the frames: on the scale of an L1 difference summed over a frame.

    clip, recon: (B, 3, T, H, W) in [-1, 1], of the type that the convolutions shall compute in.  An fp32 scalar.
    """
    height, width = clip.shape[3:]
    distances = lpips(to_frames(frames_first(clip)), to_frames(frames_first(recon)))
    return 3 * height * width * distances.mean()


class Perceptual(nn.Cell):
    """(clip, reconstruction) -> `perceptual`, with convolutions in `dtype`.

    path: LPIPS weights. Raises InputError when they are missing.
    """

    def __init__(self, path: Path | str | None, dtype: ms.Type):
        super().__init__()
        self.lpips = LPIPS(path)
        self.dtype = dtype

    def construct(self, clip: Tensor, recon: Tensor) -> Tensor:
        return perceptual(self.lpips, clip.astype(self.dtype), recon.astype(self.dtype))
