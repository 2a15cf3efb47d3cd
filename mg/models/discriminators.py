"""Discriminators by name. Patch discriminators give a logit for each 8x8 patch of a frame, or of eight frames.

Others are in stylegan.py.
"""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer

from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resample import TemporalDownsample
from mg.models.stylegan import CLIPS, FRAMES, StyleGAN

GROUPS = 8
_SLOPE = 0.2


class Halve(nn.Cell):
    """H and W halved by a 4x4 convolution, T too if `temporal`; GroupNorm unless it is the first; leaky ReLU."""

    def __init__(self, in_channels: int, out_channels: int, temporal: bool, normalised: bool = True):
        super().__init__()
        self.spatial = SpatialConv(in_channels, out_channels, kernel=4, stride=2, padding=(1, 1, 1, 1))
        self.temporal = self.over_time(out_channels) if temporal else nn.Identity()
        self.norm = GroupNorm(GROUPS, out_channels) if normalised else nn.Identity()

    @staticmethod
    def over_time(channels: int) -> TemporalDownsample:
        """Halves T, and starts random: the identity would let a fresh discriminator see every eighth frame only."""
        layer = TemporalDownsample(channels, padding="both")
        weight = layer.conv.weight
        weight.set_data(initializer(HeUniform(5**0.5), weight.shape, mstype.float32))
        return layer

    def construct(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(self.norm(self.temporal(self.spatial(x))), _SLOPE)


class PatchDiscriminator(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> logits (B, 1, T', H/8, W/8), high for what looks real.  H and W at least 8.

    temporal: T' = ceil(T/8), by convolutions over space, then time; else every frame is judged alone and T' = T.
    Computes in the type of its input; norms in fp32. No batch statistics: a clip's logits depend on that clip alone.
    PatchGAN: Isola et al. (arXiv 1611.07004), section 3.2.2.
    """

    def __init__(self, channels: int, temporal: bool):
        super().__init__()
        self.levels = nn.CellList(
            [
                Halve(3, channels, temporal, normalised=False),
                Halve(channels, 2 * channels, temporal),
                Halve(2 * channels, 4 * channels, temporal),
            ]
        )
        self.conv = SpatialConv(4 * channels, 4 * channels)
        self.norm = GroupNorm(GROUPS, 4 * channels)
        self.head = SpatialConv(4 * channels, 1)

    def construct(self, clip: Tensor) -> Tensor:
        x = frames_first(clip)
        for level in self.levels:
            x = level(x)
        x = ops.leaky_relu(self.norm(self.conv(x)), _SLOPE)
        return channels_first(self.head(x))


class FrameDiscriminator(PatchDiscriminator):
    """Judges every frame alone."""

    def __init__(self, channels: int = 64):
        super().__init__(channels, temporal=False)


class ClipDiscriminator(PatchDiscriminator):
    """Judges stretches of frames; a single frame is judged as a clip that stands still."""

    def __init__(self, channels: int = 64):
        super().__init__(channels, temporal=True)


# name -> (channels of its first layer, shape (3, T, H, W) of a training clip) -> cell, which takes (B, 3, T, H, W) to
# logits (B, ...). Whoever is made for one shape refuses others.
DISCRIMINATORS: dict[str, Callable[[int, tuple[int, int, int, int]], nn.Cell]] = {
    "frame": lambda channels, shape: FrameDiscriminator(channels),
    "clip": lambda channels, shape: ClipDiscriminator(channels),
    "stylegan2d": lambda channels, shape: StyleGAN(channels, shape, FRAMES, over_time=False),
    "stylegan3d": lambda channels, shape: StyleGAN(channels, shape, CLIPS, over_time=True),
}
