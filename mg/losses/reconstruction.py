"""How far a reconstruction is from its clip, element by element."""

from mindspore import Tensor
from mindspore import dtype as mstype

from mg.io.colour import luma_chroma


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


def chroma(clip: Tensor, recon: Tensor) -> Tensor:
    """Squared difference of Cb and of Cr (BT.601, full range) summed over a frame and averaged over the frames.

    clip, recon: (B, 3, T, H, W) in [-1, 1], any floating type.  Returns an fp32 scalar.
    """
    difference = _difference(clip, recon)
    _, blueness, redness = luma_chroma(difference[:, 0], difference[:, 1], difference[:, 2])
    return (blueness * blueness + redness * redness).sum() / (difference.shape[0] * difference.shape[2])


def _difference(clip: Tensor, recon: Tensor) -> Tensor:
    return recon.astype(mstype.float32) - clip.astype(mstype.float32)


def _by_frame(errors: Tensor) -> Tensor:
    batch, _, frames, _, _ = errors.shape
    return errors.sum() / (batch * frames)
