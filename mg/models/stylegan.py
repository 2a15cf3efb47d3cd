"""StyleGAN's discriminators: of frames, and of clips. Made for one size of clip."""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import XavierUniform, initializer

from mg.errors import InputError
from mg.models.layers.causal import CausalConv
from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import frames_first
from mg.models.layers.pad import zero_pad
from mg.models.layers.resample import blur_and_halve

_SLOPE = 0.2
_HALF = 0.5**0.5
FRAMES, CLIPS = (2, 2, 4, 4, 4), (2, 4, 4, 4, 4)  # multiples of the first width behind each block
_HALVINGS = 5


class ClipConv(CausalConv):
    """A convolution of three frames that looks as far ahead as back, zeros around."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, front=1)

    def construct(self, x: Tensor) -> Tensor:
        return super().construct(zero_pad(x, 1, 0, 1))


def leaky_relu(x: Tensor) -> Tensor:
    """Of slope 0.2, with second gradients."""
    return ops.maximum(x, _SLOPE * x)


class Block(nn.Cell):
    """(B, T, C, H, W) -> (B, T', C', H/2, W/2): two convolutions and a shortcut, blurred and halved."""

    def __init__(self, in_channels: int, out_channels: int, conv: Callable[[int, int], nn.Cell], axes: tuple[int, ...]):
        super().__init__()
        self.axes = axes
        self.conv1 = conv(in_channels, in_channels)
        self.shortcut = SpatialConv(in_channels, out_channels, kernel=1, bias=False)
        self.conv2 = conv(in_channels, out_channels)

    def construct(self, x: Tensor) -> Tensor:
        h, skipped = leaky_relu(self.conv1(x)), x
        for axis in self.axes:
            h, skipped = blur_and_halve(h, axis), blur_and_halve(skipped, axis)
        return (leaky_relu(self.conv2(h)) + self.shortcut(skipped)) * _HALF


class StyleGAN(nn.Cell):
    """(B, 3, T, H, W) in [-1, 1] -> logits, high for what looks real; made for clips of one size.

    shape: (3, T, H, W) of the clips; kept as what it takes, None for an axis of any length. multiples: of `channels`
    behind each block. over_time: whether clips are judged, (B, 1), or every frame alone, (B, T).
    No norm; weights start by Xavier's rule with a gain of sqrt 2, biases at zero.  StyleGAN2 (arXiv 1912.04958),
    section 4.2, as MAGVIT-v2 (arXiv 2310.05737) has it for clips. Raises InputError for clips too short to be halved.
    """

    def __init__(self, channels: int, shape: tuple[int, ...], multiples: tuple[int, ...], over_time: bool):
        super().__init__()
        halved = shape[1:] if over_time else shape[2:]
        if min(halved) <= 2 ** (_HALVINGS - 1):
            raise InputError(
                f"StyleGAN's discriminator halves clips {_HALVINGS} times: {'x'.join(map(str, halved))} is too short, "
                f"more than {2 ** (_HALVINGS - 1)} are needed along each axis; train on larger clips, or name another"
            )
        self.shape, self.over_time = (3, shape[1] if over_time else None, *shape[2:]), over_time
        conv = ClipConv if over_time else SpatialConv
        widths = [channels, *(channels * multiple for multiple in multiples)]
        axes = (1, 3, 4) if over_time else (3, 4)
        self.conv_in = conv(3, channels)
        self.blocks = nn.CellList([Block(a, b, conv, axes) for a, b in zip(widths, widths[1:])])
        self.conv_out = conv(widths[-1], widths[-1])
        values = widths[-1]
        for side in halved:
            values *= -(-side // 2**_HALVINGS)
        self.hidden = SpatialConv(values, widths[-1], kernel=1)
        self.head = SpatialConv(widths[-1], 1, kernel=1)
        for parameter in self.get_parameters():
            if len(parameter.shape) > 1:
                rule = XavierUniform(gain=2**0.5)
                parameter.set_data(initializer(rule, parameter.shape, mstype.float32))

    def construct(self, clip: Tensor) -> Tensor:
        batch, _, frames, _, _ = clip.shape
        x = leaky_relu(self.conv_in(frames_first(clip)))
        for block in self.blocks:
            x = block(x)
        x = leaky_relu(self.conv_out(x))
        x = x.reshape(batch, 1 if self.over_time else frames, -1, 1, 1)
        return self.head(leaky_relu(self.hidden(x))).reshape(batch, -1)
