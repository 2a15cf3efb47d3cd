"""Bytes that a training step of a TAE keeps for its backward pass, counted from shapes, for one clip.

What layers keep in training, in the compute type unless said otherwise:
  convolution           its input; over time, padded and folded
  GroupNorm             the centred values in fp32; per frame, the groups' deviations and, twice, the channels' scales
  SiLU                  its input; its output is the next convolution's input
  1x1 shortcut          the block's input; other shortcuts and sums nothing
  doubling              nothing but the input of the convolution that follows, at the large size
  attention             tokens, query, key, value, the mixed values; softmax in fp32 and, unless that is fp32, its cast
A residual block that is recomputed keeps its input alone; the largest such block is there once, while it is computed
again. Left out: losses and their networks, the posterior's sample, gradients of activations, scratch of kernels.

--device_target CPU   a GroupNorm also keeps its scale at full size, in fp32 (mg.models.layers.by_device). The peak of a
process is no check of the count there: at nano sizes it was measured to grow three to four times as fast.

--upstream  the same layers as mindone's examples/moviegen has them, by the same rules. Assumed, from its code: axes
(B, C, T, H, W), so that a convolution's input is a transposed copy; Conv1d of (B*H*W, C, T), padded; norms in the
compute type in training, which keep their input and the clip's statistics; SiLU as x * sigmoid(x), which keeps both
factors; shortcuts of two 1x1 convolutions, over space and over time; a single latent frame doubled like others.
Attention keeps the same: all frames' scores are there in a backward pass either way. A transposition's backward pass
needs no tensor; "upstream, copies" is the count if the copy before each temporal convolution's padding stays as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from count_flops import Size

from mg.models.tae.config import TAEConfig


@dataclass(frozen=True)
class Form:
    """How the network is written. element: bytes of the compute type; copies: kept before temporal convolutions."""

    element: int
    on_cpu: bool = False
    upstream: bool = False
    copies: int = 0

    def values(self, size: Size, channels: int) -> int:
        """Bytes of a tensor of the compute type."""
        return self.element * size.pixels * channels


@dataclass(frozen=True)
class Layer:
    """Bytes that a layer keeps; its level, 0 with the largest frames, and for residual blocks:

    block_input: what it keeps when it is recomputed. again: what it then holds besides, while it is computed again.
    """

    name: str
    level: int
    kept: int
    block_input: int = 0
    again: int = 0


def norm(form: Form, size: Size, channels: int, groups: int) -> int:
    """A GroupNorm."""
    if form.upstream:
        return form.values(size, channels) + 4 * 2 * groups
    full_size = 2 if form.on_cpu else 1
    return 4 * (full_size * size.pixels * channels + size.frames * (groups + 2 * channels))


def temporal(form: Form, size: Size, channels: int, kernel: int = 3) -> int:
    """A convolution over time; size: of its input."""
    padded = Size(size.frames + kernel - 1, size.height, size.width)
    return form.values(padded, channels) + form.copies * form.values(size, channels)


def conv2_5d(form: Form, size: Size, in_channels: int, out_channels: int, kernel: int = 3) -> int:
    """A convolution on every frame, then one over time."""
    return form.values(size, in_channels) + temporal(form, size, out_channels, kernel)


def norm_silu_conv(form: Form, size: Size, in_channels: int, out_channels: int, groups: int) -> int:
    """Norm, SiLU, Conv2.5d."""
    silu = (2 if form.upstream else 1) * form.values(size, in_channels)
    return norm(form, size, in_channels, groups) + silu + conv2_5d(form, size, in_channels, out_channels)


def shortcut(form: Form, size: Size, in_channels: int, out_channels: int) -> int:
    """The way around a residual block."""
    if in_channels == out_channels:
        return 0
    return conv2_5d(form, size, in_channels, out_channels, 1) if form.upstream else form.values(size, in_channels)


def residual_block(
    name: str, level: int, form: Form, size: Size, in_channels: int, out_channels: int, groups: int
) -> Layer:
    """Norm, SiLU, Conv2.5d, twice, and the shortcut. Our shortcuts and upstream's norms keep the block's input."""
    kept = norm_silu_conv(form, size, in_channels, out_channels, groups)
    kept += norm_silu_conv(form, size, out_channels, out_channels, groups)
    kept += shortcut(form, size, in_channels, out_channels)
    block_input = form.values(size, in_channels)
    has_input = form.upstream or in_channels != out_channels
    return Layer(name, level, kept, block_input, kept - block_input if has_input else kept)


def attention(form: Form, sequences: int, length: int, channels: int) -> int:
    """Attention without its norm."""
    tokens = 5 * form.element * sequences * length * channels
    cast = form.element if form.element < 4 else 0
    return tokens + (4 + cast) * sequences * length * length


def middle(network: str, level: int, form: Form, size: Size, config: TAEConfig) -> list[Layer]:
    """Two residual blocks with attention over space and over time between them."""
    pixels, channels, groups = size.height * size.width, config.channels[-1], config.norm_num_groups
    name = f"{network}.middle"
    normed = norm(form, size, channels, groups)
    return [
        residual_block(f"{name}.block1", level, form, size, channels, channels, groups),
        Layer(f"{name}.spatial_attention", level, normed + attention(form, size.frames, pixels, channels)),
        Layer(f"{name}.temporal_attention", level, normed + attention(form, pixels, size.frames, channels)),
        residual_block(f"{name}.block2", level, form, size, channels, channels, groups),
    ]


def blocks(
    name: str, level: int, form: Form, size: Size, in_channels: int, out_channels: int, count: int, groups: int
) -> list[Layer]:
    """The residual blocks of a level."""
    widths = [in_channels] + [out_channels] * count
    pairs = enumerate(zip(widths, widths[1:]))
    return [residual_block(f"{name}.blocks.{i}", level, form, size, a, b, groups) for i, (a, b) in pairs]


def encoder(config: TAEConfig, clip: Size, form: Form) -> list[Layer]:
    """One clip through the encoder."""
    unit, groups = config.compression, config.norm_num_groups
    size = Size(clip.frames, -(-clip.height // unit) * unit, -(-clip.width // unit) * unit)
    widths = [config.ch, *config.channels]
    last = len(config.channels) - 1
    layers = [Layer("encoder.conv_in", 0, conv2_5d(form, size, 3, config.ch))]
    for level, (a, b) in enumerate(zip(widths, widths[1:])):
        name = f"encoder.levels.{level}"
        layers += blocks(name, level, form, size, a, b, config.num_res_blocks, groups)
        if level < last:
            smaller = size.halved()
            narrowed = Size(size.frames, smaller.height, smaller.width)
            layers.append(Layer(f"{name}.spatial_downsample", level, form.values(size, b)))
            layers.append(Layer(f"{name}.temporal_downsample", level, temporal(form, narrowed, b)))
            size = smaller
    layers += middle("encoder", last, form, size, config)
    out = norm_silu_conv(form, size, widths[-1], 2 * config.z_channels, groups)
    return [*layers, Layer("encoder.conv_out", last, out)]


def decoder(config: TAEConfig, latents: Size, form: Form) -> list[Layer]:
    """Latents through the decoder."""
    groups, last = config.norm_num_groups, len(config.channels) - 1
    stays = latents.frames == 1 and config.upsample_padding == "replicate" and not form.upstream
    widths = [config.channels[-1], *reversed(config.channels)]
    size = latents
    layers = [Layer("decoder.conv_in", last, conv2_5d(form, size, config.z_channels, widths[0]))]
    layers += middle("decoder", last, form, size, config)
    for index, (a, b) in enumerate(zip(widths, widths[1:])):
        name, level = f"decoder.levels.{index}", last - index
        layers += blocks(name, level, form, size, a, b, config.num_res_blocks + 1, groups)
        if level > 0:
            larger = size.doubled()
            widened = Size(size.frames, larger.height, larger.width)
            size = widened if stays else larger
            layers.append(Layer(f"{name}.spatial_upsample", level, form.values(widened, b)))
            layers.append(Layer(f"{name}.temporal_upsample", level, temporal(form, size, b)))
    return [*layers, Layer("decoder.conv_out", 0, norm_silu_conv(form, size, widths[-1], 3, groups))]


def step(config: TAEConfig, clip: Size, form: Form) -> list[Layer]:
    """All layers of a training step."""
    return encoder(config, clip, form) + decoder(config, clip.halved(config.compression), form)


def kept(layers: Sequence[Layer], recomputed: int = 0) -> int:
    """Bytes when the residual blocks of the first so many levels are recomputed, as mg.training.config says."""
    again = [layer for layer in layers if layer.block_input and layer.level < recomputed]
    saved = sum(layer.kept - layer.block_input for layer in again)
    return sum(layer.kept for layer in layers) - saved + max((layer.again for layer in again), default=0)


def state(parameters: int, element: int) -> dict[str, int]:
    """Bytes of what there is besides: fp32 weights, gradients, AdamW's two moments, EMA; the weights' casts."""
    sizes = {"weights": 4, "gradients": 4, "moments": 8, "ema": 4, "cast weights": element if element < 4 else 0}
    return {name: size * parameters for name, size in sizes.items()}
