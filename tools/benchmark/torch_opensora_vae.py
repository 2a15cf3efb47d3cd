"""A plain Open-Sora VAE in PyTorch, only to be measured beside the package's. Same layers, names and weights.

Clips are (B, C, T, H, W). The image VAE sees frames (B*T, C, H, W); the temporal VAE's convolutions are Conv3d, in
PyTorch's default memory layout, or channels last after .to(memory_format=torch.channels_last), which is the image VAE's
alone. A decoder gives all frames of its latents, those among them that stand for zeros put in front.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Conv2d, GroupNorm, Module, ModuleList
from torch.nn import functional as F
from torch_tae import Attention, Convolution, SpatialConv, from_frames, to_frames

SPATIAL_EPS, TEMPORAL_EPS = 1e-6, 1e-5


class SpatialBlock(Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, SPATIAL_EPS)
        self.conv1 = SpatialConv(in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels, SPATIAL_EPS)
        self.conv2 = SpatialConv(out_channels, out_channels)
        self.shortcut = torch.nn.Identity() if in_channels == out_channels else Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class SpatialLevel(Module):
    """Residual blocks; then half the rows and columns, or twice as many, or as many."""

    def __init__(self, widths: list[int], groups: int, then: str | None):
        super().__init__()
        self.blocks = ModuleList([SpatialBlock(a, b, groups) for a, b in zip(widths, widths[1:])])
        if then == "halve":
            self.spatial_downsample = Convolution(Conv2d(widths[-1], widths[-1], 3, stride=2))
        elif then == "double":
            self.spatial_upsample = Convolution(SpatialConv(widths[-1], widths[-1]))
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        if self.then == "halve":
            return self.spatial_downsample.conv(F.pad(x, (0, 1, 0, 1)))
        if self.then == "double":
            return self.spatial_upsample.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class SpatialMiddle(Module):
    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.block1 = SpatialBlock(channels, channels, groups)
        self.spatial_attention = Attention(channels, groups, over_time=False)
        self.block2 = SpatialBlock(channels, channels, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block2(self.spatial_attention(self.block1(x), 1))


class SpatialEncoder(Module):
    """(B*T, 3, H, W), H and W multiples of 8 -> means (B*T, C, h, w)."""

    def __init__(self, config: dict):
        super().__init__()
        groups, widths = config["spatial_groups"], list(config["spatial_channels"])
        moments = 2 * config["spatial_latent"]
        self.conv_in = SpatialConv(3, widths[0])
        last = len(widths) - 1
        self.levels = ModuleList(
            SpatialLevel([a] + [b] * config["spatial_blocks"], groups, "halve" if level < last else None)
            for level, (a, b) in enumerate(zip(widths[:1] + widths, widths))
        )
        self.middle = SpatialMiddle(widths[-1], groups)
        self.norm_out = GroupNorm(groups, widths[-1], SPATIAL_EPS)
        self.conv_out = SpatialConv(widths[-1], moments)
        self.quant_conv = Conv2d(moments, moments, 1) if config["spatial_quant_convs"] else torch.nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.levels:
            x = level(x)
        x = self.conv_out(F.silu(self.norm_out(self.middle(x))))
        return self.quant_conv(x).chunk(2, 1)[0]


class SpatialDecoder(Module):
    """(B*T, C, h, w) -> (B*T, 3, 8h, 8w)."""

    def __init__(self, config: dict):
        super().__init__()
        groups, latent = config["spatial_groups"], config["spatial_latent"]
        widths = list(config["spatial_channels"])[::-1]
        self.post_quant_conv = Conv2d(latent, latent, 1) if config["spatial_quant_convs"] else torch.nn.Identity()
        self.conv_in = SpatialConv(latent, widths[0])
        self.middle = SpatialMiddle(widths[0], groups)
        last = len(widths) - 1
        self.levels = ModuleList(
            SpatialLevel([a] + [b] * (config["spatial_blocks"] + 1), groups, "double" if level < last else None)
            for level, (a, b) in enumerate(zip(widths[:1] + widths, widths))
        )
        self.norm_out = GroupNorm(groups, widths[-1], SPATIAL_EPS)
        self.conv_out = SpatialConv(widths[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.conv_in(self.post_quant_conv(x)))
        for level in self.levels:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class CausalConv(torch.nn.Conv3d):
    """Kernel 3 or 1; zeros in front of the first frame, and around every frame."""

    def __init__(self, into: int, out: int, kernel: int = 3, stride: int = 1, bias: bool = True):
        super().__init__(into, out, kernel, (stride, 1, 1), bias=bias)
        self.front, self.side = kernel - stride, kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.side,) * 4 + (self.front, 0)))


class TemporalBlock(Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, TEMPORAL_EPS)
        self.conv1 = CausalConv(in_channels, out_channels, bias=False)
        self.norm2 = GroupNorm(groups, out_channels, TEMPORAL_EPS)
        self.conv2 = CausalConv(out_channels, out_channels, bias=False)
        same = in_channels == out_channels
        self.shortcut = torch.nn.Identity() if same else CausalConv(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


class TemporalLevel(Module):
    """Maybe twice the frames; residual blocks; maybe half the frames."""

    def __init__(self, widths: list[int], groups: int, then: str | None):
        super().__init__()
        self.blocks = ModuleList([TemporalBlock(a, b, groups) for a, b in zip(widths, widths[1:])])
        if then == "halve":
            self.downsample = CausalConv(widths[-1], widths[-1], stride=2)
        elif then == "double":
            self.upsample = Convolution(CausalConv(widths[0], 2 * widths[0]))
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        if self.then == "double":  # the package's weights have the two times slowest among the channels
            x = self.upsample.conv(x).unflatten(1, (2, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
        for block in self.blocks:
            x = block(x)
        return self.downsample(x) if self.then == "halve" else x


class TemporalEncoder(Module):
    """(B, C, T, h, w) -> mean and log-variance, (B, z, ceil(T/4), h, w)."""

    def __init__(self, config: dict):
        super().__init__()
        groups, (first, *widths) = config["temporal_groups"], widths_of(config)
        blocks, moments = config["temporal_blocks"], 2 * config["z_channels"]
        self.compression = 2 ** len(config["halved_levels"])
        self.conv_in = CausalConv(config["spatial_latent"], first, bias=False)
        self.levels = ModuleList(
            TemporalLevel([a] + [b] * blocks, groups, "halve" if level in config["halved_levels"] else None)
            for level, (a, b) in enumerate(zip([first, *widths], widths))
        )
        self.middle = ModuleList(TemporalBlock(widths[-1], widths[-1], groups) for _ in range(blocks))
        self.norm_out = GroupNorm(groups, widths[-1], TEMPORAL_EPS)
        self.conv_out = CausalConv(widths[-1], moments, 1)
        self.quant_conv = CausalConv(moments, moments, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv_in(F.pad(x, (0, 0, 0, 0, -x.shape[2] % self.compression, 0)))
        for part in (*self.levels, *self.middle):
            x = part(x)
        mean, logvar = self.quant_conv(self.conv_out(F.silu(self.norm_out(x)))).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)


class TemporalDecoder(Module):
    """(B, z, t, h, w) -> (B, C, 4t, h, w)."""

    def __init__(self, config: dict):
        super().__init__()
        groups, (_, *widths), z = config["temporal_groups"], widths_of(config), config["z_channels"]
        blocks, last = config["temporal_blocks"], widths[-1]
        self.post_quant_conv = CausalConv(z, z, 1)
        self.conv_in = CausalConv(z, last)
        self.middle = ModuleList(TemporalBlock(last, last, groups) for _ in range(blocks))
        self.levels = ModuleList(
            TemporalLevel([a] + [b] * blocks, groups, "double" if level in config["halved_levels"] else None)
            for level, (a, b) in enumerate(zip([*widths[1:], last], widths))
        )
        self.norm_out = GroupNorm(groups, widths[0], TEMPORAL_EPS)
        self.conv_out = CausalConv(widths[0], config["spatial_latent"])

    def forward(self, z: Tensor) -> Tensor:
        x = self.conv_in(self.post_quant_conv(z))
        for part in (*self.middle, *list(self.levels)[::-1]):
            x = part(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Encoder(Module):
    """(B, 3, T, H, W) -> mean and log-variance of the temporal posterior."""

    def __init__(self, config: dict):
        super().__init__()
        self.factor = config["spatial_factor"]
        self.spatial = SpatialEncoder(config)
        self.temporal = TemporalEncoder(config)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.temporal(from_frames(self.spatial(to_frames(x)) * self.factor, x.shape[0]).contiguous())


class Decoder(Module):
    """(B, z, t, h, w) -> (B, 3, 4t, 8h, 8w)."""

    def __init__(self, config: dict):
        super().__init__()
        self.factor = config["spatial_factor"]
        self.temporal = TemporalDecoder(config)
        self.spatial = SpatialDecoder(config)

    def forward(self, z: Tensor) -> Tensor:
        return from_frames(self.spatial(to_frames(self.temporal(z) / self.factor)), z.shape[0])


class OpenSoraVAE(Module):
    """config: as the package's."""

    def __init__(self, config: dict):
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def to(self, memory_format: torch.memory_format) -> OpenSoraVAE:
        """In a memory layout of four axes, which the image VAE alone has."""
        for part in (self.encoder.spatial, self.decoder.spatial):
            part.to(memory_format=memory_format)
        return self


def widths_of(config: dict) -> list[int]:
    """Channels of the temporal VAE's first layer and of each level."""
    return [config["temporal_channels"] * multiple for multiple in (1, *config["temporal_multiples"])]
