"""Arithmetic of a TAE counted from shapes: convolutions, linear layers and attention; multiply and add are two.

Norms, activations, biases and softmax are left out. Every function gives operations, as whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mg.checks import require_whole
from mg.errors import InputError
from mg.models.tae.config import TAEConfig
from mg.models.tae.inputs import MIN_SIZE
from mg.models.tiling.plan import windows
from mg.models.tiling.stream import Tiles


@dataclass(frozen=True)
class Size:
    """Frames, rows and columns of what a layer gives."""

    frames: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.frames * self.height * self.width

    def halved(self, compression: int = 2) -> Size:
        return Size(*(-(-side // compression) for side in (self.frames, self.height, self.width)))

    def doubled(self) -> Size:
        return Size(2 * self.frames, 2 * self.height, 2 * self.width)


def require_clips(frames: Iterable[int], size: Sequence[int]) -> None:
    """Refuse numbers of frames and a --size, the side or height and width, that no clip can have."""
    for count in frames:
        require_whole("frames", count, 1)
    if len(size) > 2:
        raise InputError(f"size={list(size)} has {len(size)} values; give the side, or height and width")
    for side in size:
        require_whole("size", side, MIN_SIZE)


def convolution(positions: int, in_channels: int, out_channels: int, kernel: int) -> int:
    """A convolution that gives so many positions; kernel: its number of taps."""
    return 2 * positions * in_channels * out_channels * kernel


def conv2_5d(size: Size, in_channels: int, out_channels: int, folded: bool = False) -> int:
    """3x3 on every frame, then 3 over time; folded: as one, where mg.models.layers.conv.Conv2_5d joins them."""
    if folded and 27 * in_channels < 9 * in_channels + 3 * out_channels:
        return convolution(size.pixels, 3 * in_channels, out_channels, 9)
    spatial = convolution(size.pixels, in_channels, out_channels, 9)
    return spatial + convolution(size.pixels, out_channels, out_channels, 3)


def residual_block(size: Size, in_channels: int, out_channels: int) -> int:
    """Two Conv2.5d, and a 1x1 convolution where the number of channels changes."""
    shortcut = 0 if in_channels == out_channels else convolution(size.pixels, in_channels, out_channels, 1)
    return conv2_5d(size, in_channels, out_channels) + conv2_5d(size, out_channels, out_channels) + shortcut


def attention(sequences: int, length: int, channels: int) -> int:
    """Query, key, value and projection; scores and their product with the values."""
    linear = 4 * convolution(sequences * length, channels, channels, 1)
    return linear + 2 * (2 * sequences * length * length * channels)


def middle(size: Size, channels: int) -> int:
    """Two residual blocks with attention over space and over time between them."""
    pixels = size.height * size.width
    blocks = 2 * residual_block(size, channels, channels)
    return blocks + attention(size.frames, pixels, channels) + attention(pixels, size.frames, channels)


def blocks(size: Size, in_channels: int, out_channels: int, count: int) -> int:
    """The residual blocks of a level."""
    widths = [in_channels] + [out_channels] * count
    return sum(residual_block(size, a, b) for a, b in zip(widths, widths[1:]))


def encoder(config: TAEConfig, clip: Size, folded: bool = False) -> int:
    """One clip through the encoder; folded: with its first convolutions joined."""
    unit = config.compression
    size = Size(clip.frames, -(-clip.height // unit) * unit, -(-clip.width // unit) * unit)
    widths = [config.ch, *config.channels]
    total = conv2_5d(size, 3, config.ch, folded)
    for level, (a, b) in enumerate(zip(widths, widths[1:])):
        total += blocks(size, a, b, config.num_res_blocks)
        if level < len(config.channels) - 1:
            smaller = size.halved()
            total += convolution(size.frames * smaller.height * smaller.width, b, b, 9)
            total += convolution(smaller.pixels, b, b, 3)
            size = smaller
    return total + middle(size, widths[-1]) + conv2_5d(size, widths[-1], 2 * config.z_channels)


def decoder(config: TAEConfig, latents: Size, single: bool = False, folded: bool = False) -> int:
    """Latents through the decoder.

    What mg.models.tae.decoder saves: single: a single latent frame stays one frame through all layers, unless time is
    padded with zeros; folded: its first convolutions are joined, and those after doubling have 2 taps, not 3, along
    every axis that is doubled.
    """
    stays = single and latents.frames == 1 and config.upsample_padding == "replicate"
    taps = (4, 3 if stays else 2) if folded else (9, 3)
    widths = [config.channels[-1], *reversed(config.channels)]
    size = latents
    total = conv2_5d(size, config.z_channels, widths[0], folded) + middle(size, widths[0])
    for level, (a, b) in enumerate(zip(widths, widths[1:])):
        total += blocks(size, a, b, config.num_res_blocks + 1)
        if level < len(config.channels) - 1:
            larger = size.doubled()
            total += convolution(size.frames * larger.height * larger.width, b, b, taps[0])
            size = Size(1, larger.height, larger.width) if stays else larger
            total += convolution(size.pixels, b, b, taps[1])
    return total + conv2_5d(size, widths[-1], 3)


def part(name: str, config: TAEConfig, clip: Size, computed: bool = False) -> int:
    """encode, decode (to the clip's latents' frames) or train: a step is three times encoding and decoding."""
    latents = clip.halved(config.compression)
    if name == "encode":
        return encoder(config, clip, computed)
    if name == "decode":
        return decoder(config, latents, computed, computed)
    return 3 * (encoder(config, clip) + decoder(config, latents, computed))


def tiled(name: str, config: TAEConfig, clip: Size, tiles: Tiles) -> int:
    """What encode or decode compute with tiles, what tiles share and what fills the last ones up included."""
    unit = config.compression
    length, overlap, context = {
        "encode": (tiles.encode_tile, tiles.encode_overlap, tiles.encode_context),
        "decode": (tiles.decode_tile, tiles.decode_overlap, 0),
    }[name]
    latents = clip.halved(unit)
    count = len(windows(latents.frames, length // unit, overlap // unit, context=context // unit))
    frames = length + 2 * context if latents.frames * unit > length else clip.frames
    height, width = (min(side * unit, tiles.spatial_tile) for side in (latents.height, latents.width))
    spots = 1
    for side in (latents.height, latents.width):
        spots *= len(windows(side, tiles.spatial_tile // unit, tiles.spatial_overlap // unit, last_at_end=True))
    if spots > 1:
        batch = min(tiles.tile_batch, spots)
        calls = -(-spots // batch)
        spots = calls * (batch + tiles.shared_statistics)  # the reference goes through the network with every batch
    return count * spots * part(name, config, Size(frames, height, width), computed=True)
