"""A plain TAE in PyTorch, only to be measured beside the package's. Same layers, names and weights.

Clips are (B, C, T, H, W) outside and frames (B*T, C, H, W) inside, in PyTorch's default memory layout, or channels last
after .to(memory_format=torch.channels_last): convolutions give the layout of their weights, which nothing here changes.

Of what PyTorch offers for the convolution over time, eager on a CPU, a (3, 1) Conv2d over (T, H*W) is the fastest in
both layouts; channels last, it needs no copy but the padding. At 128 channels of 8x128x128 on two (shared) cores:

                 Conv2d (3, 1)   Conv3d   Conv1d over (B*H*W, C, T)   3x3
default                    535      671                         746   561 ms
channels last              366      405                           -   421 ms
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import GroupNorm, Module, ModuleList
from torch.nn import functional as F

EPS = 1e-6


class SpatialConv(torch.nn.Conv2d):
    """3x3 on every frame."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, padding=1)


class TemporalConv(torch.nn.Conv2d):
    """Kernel 3 over time; copies of the first and last frame are put before and after."""

    def __init__(self, channels: int, stride: int = 1, before: int = 1, after: int = 1):
        super().__init__(channels, channels, (3, 1), (stride, 1))
        self.before, self.after = before, after

    def forward(self, x: Tensor, batch: int) -> Tensor:
        count, channels, height, width = x.shape
        x = x.reshape(batch, count // batch, channels, height * width).transpose(1, 2)
        x = torch.cat([x[:, :, :1]] * self.before + [x] + [x[:, :, -1:]] * self.after, 2)
        return super().forward(x).transpose(1, 2).reshape(-1, channels, height, width)


class Conv2_5d(Module):
    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.spatial = SpatialConv(in_channels, out_channels)
        self.temporal = TemporalConv(out_channels)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        return self.temporal(self.spatial(x), batch)


class ResidualBlock(Module):
    def __init__(self, in_channels: int, out_channels: int, groups: int):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, EPS)
        self.conv1 = Conv2_5d(in_channels, out_channels)
        self.norm2 = GroupNorm(groups, out_channels, EPS)
        self.conv2 = Conv2_5d(out_channels, out_channels)
        same = in_channels == out_channels
        self.shortcut = torch.nn.Identity() if same else torch.nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)), batch)
        h = self.conv2(F.silu(self.norm2(h)), batch)
        return self.shortcut(x) + h


class Attention(Module):
    """x + attention: over the pixels of a frame, or over the frames of a pixel."""

    def __init__(self, channels: int, groups: int, over_time: bool):
        super().__init__()
        self.over_time = over_time
        self.norm = GroupNorm(groups, channels, EPS)
        for name in ("query", "key", "value", "projection"):
            setattr(self, name, torch.nn.Linear(channels, channels))

    def forward(self, x: Tensor, batch: int) -> Tensor:
        count, channels, height, width = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(count, height * width, channels)
        if self.over_time:
            tokens = tokens.unflatten(0, (batch, -1)).transpose(1, 2).flatten(0, 1)
        tokens = F.scaled_dot_product_attention(self.query(tokens), self.key(tokens), self.value(tokens))
        tokens = self.projection(tokens)
        if self.over_time:
            tokens = tokens.unflatten(0, (batch, -1)).transpose(1, 2)
        return x + tokens.reshape(count, height, width, channels).permute(0, 3, 1, 2)


class Middle(Module):
    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, groups)
        self.spatial_attention = Attention(channels, groups, over_time=False)
        self.temporal_attention = Attention(channels, groups, over_time=True)
        self.block2 = ResidualBlock(channels, channels, groups)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        x = self.block1(x, batch)
        x = self.spatial_attention(x, batch)
        x = self.temporal_attention(x, batch)
        return self.block2(x, batch)


class Convolution(Module):
    """Only gives a convolution the name it has in the package."""

    def __init__(self, conv: Module):
        super().__init__()
        self.conv = conv


class Level(Module):
    def __init__(self, widths: list[int], groups: int):
        super().__init__()
        self.blocks = ModuleList([ResidualBlock(a, b, groups) for a, b in zip(widths, widths[1:])])

    def forward(self, x: Tensor, batch: int) -> Tensor:
        for block in self.blocks:
            x = block(x, batch)
        return x


class DownLevel(Level):
    """Residual blocks, then half the rows, columns and frames."""

    def __init__(self, widths: list[int], groups: int):
        super().__init__(widths, groups)
        self.spatial_downsample = Convolution(torch.nn.Conv2d(widths[-1], widths[-1], 3, stride=2))
        self.temporal_downsample = Convolution(TemporalConv(widths[-1], stride=2, before=0, after=2))

    def forward(self, x: Tensor, batch: int) -> Tensor:
        x = self.spatial_downsample.conv(F.pad(super().forward(x, batch), (0, 1, 0, 1)))
        return self.temporal_downsample.conv(x, batch)


class UpLevel(Level):
    """Residual blocks, then twice the rows, columns and frames."""

    def __init__(self, widths: list[int], groups: int):
        super().__init__(widths, groups)
        self.spatial_upsample = Convolution(SpatialConv(widths[-1], widths[-1]))
        self.temporal_upsample = Convolution(TemporalConv(widths[-1]))

    def forward(self, x: Tensor, batch: int) -> Tensor:
        x = F.interpolate(super().forward(x, batch), scale_factor=2.0, mode="nearest")
        x = self.spatial_upsample.conv(x)
        return self.temporal_upsample.conv(repeated(x), batch)


class Encoder(Module):
    """(B, 3, T, H, W), H and W multiples of 8 -> mean and log-variance, (B, z, t, h, w)."""

    def __init__(self, config: dict):
        super().__init__()
        groups, (channels, widths) = config["norm_num_groups"], widths_of(config)
        self.conv_in = Conv2_5d(3, channels)
        self.levels = ModuleList()
        for level, (a, b) in enumerate(zip([channels, *widths], widths)):
            kind = DownLevel if level < len(widths) - 1 else Level
            self.levels.append(kind([a] + [b] * config["num_res_blocks"], groups))
        self.middle = Middle(widths[-1], groups)
        self.norm_out = GroupNorm(groups, widths[-1], EPS)
        self.conv_out = Conv2_5d(widths[-1], 2 * config["z_channels"])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, x = x.shape[0], to_frames(x)
        x = self.conv_in(x, batch)
        for level in self.levels:
            x = level(x, batch)
        x = self.middle(x, batch)
        x = self.conv_out(F.silu(self.norm_out(x)), batch)
        mean, logvar = from_frames(x, batch).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)


class Decoder(Module):
    """(B, z, t, h, w) -> (B, 3, 8t, 8h, 8w)."""

    def __init__(self, config: dict):
        super().__init__()
        groups, (_, widths) = config["norm_num_groups"], widths_of(config)
        widths = widths[::-1]
        self.conv_in = Conv2_5d(config["z_channels"], widths[0])
        self.middle = Middle(widths[0], groups)
        self.levels = ModuleList()
        for level, (a, b) in enumerate(zip([widths[0], *widths], widths)):
            kind = UpLevel if level < len(widths) - 1 else Level
            self.levels.append(kind([a] + [b] * (config["num_res_blocks"] + 1), groups))
        self.norm_out = GroupNorm(groups, widths[-1], EPS)
        self.conv_out = Conv2_5d(widths[-1], 3)

    def forward(self, z: Tensor) -> Tensor:
        batch, x = z.shape[0], to_frames(z)
        x = self.conv_in(x, batch)
        x = self.middle(x, batch)
        for level in self.levels:
            x = level(x, batch)
        return from_frames(self.conv_out(F.silu(self.norm_out(x)), batch), batch)


class TAE(Module):
    """config: as the package's TAE_CONFIG, with its default conventions of norms and padding."""

    def __init__(self, config: dict):
        super().__init__()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)


def widths_of(config: dict) -> tuple[int, list[int]]:
    """Channels of the first layer and of each level."""
    return config["ch"], [round(config["ch"] * multiple) for multiple in config["ch_mult"]]


def to_frames(x: Tensor) -> Tensor:
    """(B, C, T, H, W) -> (B*T, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1).contiguous()


def from_frames(x: Tensor, batch: int) -> Tensor:
    """(B*T, C, H, W) -> (B, C, T, H, W)."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def repeated(x: Tensor) -> Tensor:
    """Every frame twice, in the memory layout of x; repeat_interleave alone would not keep channels last."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).repeat_interleave(2, 0).permute(0, 3, 1, 2)
    return x.repeat_interleave(2, 0)
