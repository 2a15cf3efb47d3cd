"""Two families that exist nowhere else: what a new family has to define, and that nothing else has to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.config import check, from_mapping, setting
from mg.models.autoencoder import Autoencoder
from mg.models.forward import GaussianForward
from mg.models.latents import Codes, split_moments
from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.terms import Term
from mg.models.tiling.tiles import Tiles
from mg.models.tokenizer import Tokenizer

SIDE = 4  # pixels of a latent pixel, each way
GROUP = 4  # frames of every latent frame but the first


class Patches(nn.Cell):
    """Frames to a grid: one convolution without overlap.  (B, 3, T, H, W) -> (B, T, C, h, w)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = SpatialConv(3, channels, SIDE, SIDE, (0, 0, 0, 0))

    def construct(self, x: Tensor) -> Tensor:
        return ops.tanh(self.conv(frames_first(x)))


class Pixels(nn.Cell):
    """A grid back to frames.  (B, T, C, h, w) -> (B, 3, T, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = SpatialConv(channels, 3 * SIDE * SIDE, 1)

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, _, height, width = x.shape
        x = self.conv(x).reshape(batch * frames * 3, SIDE, SIDE, height, width).transpose(0, 3, 1, 4, 2)
        return channels_first(x.reshape(batch, frames, 3, height * SIDE, width * SIDE))


class Groups(nn.Cell):
    """GROUP frames and the two before them to one latent frame.  (B, 2 + 4t, C, h, w) -> (B, t, C', h, w)."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.conv = SpatialConv((GROUP + 2) * channels, out_channels, 1)

    def construct(self, x: Tensor) -> Tensor:
        batch, frames, channels, height, width = x.shape
        count = (frames - 2) // GROUP
        shifted = [x[:, k : k + GROUP * count].reshape(batch, count, GROUP, channels, height, width) for k in (0, 1, 2)]
        seen = ops.concat([shifted[0][:, :, :2], shifted[2]], 2)
        return self.conv(seen.reshape(batch, count, (GROUP + 2) * channels, height, width))


class Encoder(nn.Cell):
    """Three layers: (B, 3, 2 + 4t, H, W), of which the first two frames lie before the clip -> raw (B, C, t, h, w)."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.patches = Patches(channels)
        self.groups = Groups(channels, channels)
        self.head = SpatialConv(channels, out_channels, 1)

    def construct(self, x: Tensor) -> Tensor:
        return channels_first(self.head(ops.tanh(self.groups(self.patches(x))))).astype(mstype.float32)


class Decoder(nn.Cell):
    """Three layers: (B, z, 1 + t, h, w), of which the first latent frame lies before the clip -> (B, 3, 4t, H, W)."""

    def __init__(self, latent_channels: int, channels: int):
        super().__init__()
        self.stem = SpatialConv(2 * latent_channels, channels, 1)
        self.frames = SpatialConv(channels, GROUP * channels, 1)
        self.pixels = Pixels(channels)

    def construct(self, z: Tensor) -> Tensor:
        x = frames_first(z)
        x = ops.tanh(self.stem(ops.concat((x[:, :-1], x[:, 1:]), 2)))
        batch, latents, channels, height, width = x.shape
        x = self.frames(x).reshape(batch, GROUP * latents, channels, height, width)
        return self.pixels(ops.tanh(x)).astype(mstype.float32)


@dataclass(frozen=True)
class ToyConfig:
    """Sizes of a toy."""

    channels: int = setting(8, "of every layer", least=1)
    latent: int = setting(6, "latent channels, or bits", least=1)

    __post_init__ = check

    space_compression = SIDE

    @property
    def channels_in_latent(self) -> int:
        return self.latent

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ToyConfig:
        return from_mapping(cls, mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        return MappingProxyType(asdict(self))


class Causal:
    """1 + 4m frames to 1 + m latent frames, and back."""

    def window_latents(self, frames: int) -> int:
        return min(frames, 1) + -(-max(frames - 1, 0) // GROUP)

    def window_frames(self, latent_frames: int) -> int:
        return max(0, GROUP * latent_frames - GROUP + 1)


def commitment(raw: Tensor, codes: Tensor) -> Tensor:
    """Mean squared distance of raw output from its codes."""
    difference = raw - ops.stop_gradient(codes)
    return (difference * difference).mean()


class ToyTokenizer(Causal, Tokenizer):
    """A causal toy with codes, whose windows carry the last frames along: windowed equals whole."""

    family = "toy_tokenizer"
    config_type = ToyConfig
    time_modes = ("carry", "restart")
    default_tiles = Tiles(
        encode_tile=9,
        encode_context=0,
        decode_tile=9,
        decode_overlap=0,
        spatial_tile=64,
        spatial_overlap=16,
        time_mode="carry",
    )
    terms = (Term("commitment", ("raw", "codes"), "distance to the codes", function=commitment, weight=0.25),)

    def build_encoder(self) -> nn.Cell:
        return Encoder(self._config.channels, self._config.latent)

    def build_decoder(self) -> nn.Cell:
        return Decoder(self._config.latent, self._config.channels)

    def latent_kind(self) -> Codes:
        return Codes(self._config.latent)

    def encode_tile(
        self, clip: np.ndarray, state: np.ndarray | None = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        before = np.zeros_like(np.repeat(clip[:, :, :1], GROUP + 1, 2)) if state is None else state
        missing = -(before.shape[2] + clip.shape[2] - 2) % GROUP
        filled = np.concatenate((before, clip, *[clip[:, :, -1:]] * missing), 2)
        return self.compute("encoder", filled), filled[:, :, -2:]

    def decode_tile(
        self, latents: np.ndarray, frames: int, state: np.ndarray | None = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        before = np.zeros_like(latents[:, :, :1]) if state is None else state
        clip = self.compute("decoder", np.concatenate((before, latents), 2))
        return clip[:, :, GROUP - 1 if state is None else 0 :], latents[:, :, -1:]

    def training_forward(self) -> nn.Cell:
        return ToyForward(self)


class ToyForward(nn.Cell):
    """clip -> {"reconstruction", "raw", "codes"}; the gradient goes straight through the signs. No noise."""

    outputs = ("reconstruction", "raw", "codes")

    def __init__(self, model: ToyTokenizer):
        super().__init__(auto_prefix=False)
        self.encoder, self.decoder = model.encoder.set_train(), model.decoder.set_train()

    def construct(self, clip: Tensor) -> dict[str, Tensor]:
        batch, channels, frames, height, width = clip.shape
        zeros = ops.zeros((batch, channels, GROUP + 1, height, width), mstype.float32)
        raw = self.encoder(ops.concat((zeros, clip), 2))
        codes = ops.select(raw > 0, ops.ones_like(raw), -ops.ones_like(raw))
        codes = raw + ops.stop_gradient(codes - raw)
        recon = self.decoder(ops.concat((ops.zeros_like(codes[:, :, :1]), codes), 2))
        return {"reconstruction": recon[:, :, GROUP - 1 :][:, :, :frames], "raw": raw, "codes": codes}

    def noise_shapes(self, clip: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        return ()


@dataclass(frozen=True)
class ToyVideoVAEConfig(ToyConfig):
    """Sizes of a toy, with factors of its own for each latent channel."""

    latent: int = setting(4, "latent channels", least=1)
    scaling_factor: tuple[float, ...] = setting((0.5, 1.0, 2.0, 4.0), "for each channel")
    shift_factor: tuple[float, ...] = setting((-0.25, 0.0, 0.25, 0.5), "for each channel")


class MomentsEncoder(Encoder):
    """(B, 3, T, H, W) -> mean and log-variance; T is filled up to 1 + 4m by the last frame."""

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        zeros = ops.zeros_like(ops.concat([x[:, :, :1]] * (GROUP + 1), 2))
        missing = -(x.shape[2] - 1) % GROUP
        filled = ops.concat([zeros, x] + [x[:, :, -1:]] * missing, 2)
        return split_moments(super().construct(filled))


class FreshDecoder(Decoder):
    """(B, z, t, h, w) -> (B, 3, 4t - 3, H, W)."""

    def construct(self, z: Tensor) -> Tensor:
        return super().construct(ops.concat((ops.zeros_like(z[:, :, :1]), z), 2))[:, :, GROUP - 1 :]


class ToyVideoVAE(Causal, Autoencoder):
    """A Gaussian toy whose windows of 17 frames know nothing of each other, with factors a channel."""

    family = "toy_video_vae"
    config_type = ToyVideoVAEConfig
    time_modes = ("restart", "blend")
    default_tiles = Tiles(
        encode_tile=17,
        encode_context=0,
        decode_tile=17,
        decode_overlap=0,
        spatial_tile=64,
        spatial_overlap=16,
        time_mode="restart",
    )

    def build_encoder(self) -> nn.Cell:
        return MomentsEncoder(self._config.channels, 2 * self._config.latent)

    def build_decoder(self) -> nn.Cell:
        return FreshDecoder(self._config.latent, self._config.channels)

    def training_forward(self) -> nn.Cell:
        return GaussianForward(self)
