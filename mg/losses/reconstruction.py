"""The reconstruction term."""

from mindspore import Tensor
from mindspore import dtype as mstype


def reconstruction(clip: Tensor, recon: Tensor) -> Tensor:
    """Absolute difference summed over a frame and averaged over the frames.  Movie Gen (arXiv 2410.13720), 3.1.1.

    clip, recon: (B, 3, T, H, W) in [-1, 1], any floating type.  Returns an fp32 scalar.
    """
    batch, _, frames, _, _ = clip.shape
    difference = recon.astype(mstype.float32) - clip.astype(mstype.float32)
    return difference.abs().sum() / (batch * frames)
