"""How far a reconstruction is from its clip, element by element."""

from mindspore import Tensor
from mindspore import dtype as mstype


def squared_error(clip: Tensor, recon: Tensor) -> Tensor:
    """Squared difference summed over a frame and averaged over the frames: what PSNR is made of.

    clip, recon: (B, 3, T, H, W) in [-1, 1], any floating type.  Returns an fp32 scalar.
    """
    difference = _difference(clip, recon)
    return _by_frame(difference * difference)


def reconstruction(clip: Tensor, recon: Tensor) -> Tensor:
    """Absolute difference summed over a frame and averaged over the frames.  Movie Gen (arXiv 2410.13720), 3.1.1.

    clip, recon: (B, 3, T, H, W) in [-1, 1], any floating type.  Returns an fp32 scalar.
    """
    return _by_frame(_difference(clip, recon).abs())


def _difference(clip: Tensor, recon: Tensor) -> Tensor:
    return recon.astype(mstype.float32) - clip.astype(mstype.float32)


def _by_frame(errors: Tensor) -> Tensor:
    batch, _, frames, _, _ = errors.shape
    return errors.sum() / (batch * frames)
