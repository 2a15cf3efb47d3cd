"""Open-Sora 1.2's video VAE: an image VAE, frame by frame, and a temporal VAE of MAGVIT-v2's kind on its latents.

Clips of any number of frames to latents, 4x8x8 smaller, and back. The temporal VAE is causal: Yu et al. (arXiv
2310.05737), section 3.2, without its quantizer.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from mindspore import nn

from mg.models import weights
from mg.models.autoencoder import Autoencoder
from mg.models.image_vae.model import ImageVAE
from mg.models.layers.resnet import blocks_by_level
from mg.models.opensora_vae.config import OpenSoraVAEConfig
from mg.models.opensora_vae.decoder import Decoder
from mg.models.opensora_vae.encoder import Encoder
from mg.models.opensora_vae.forward import Forward
from mg.models.opensora_vae.names import can_read, is_temporal
from mg.models.opensora_vae.read import open_foreign
from mg.models.opensora_vae.terms import TERMS
from mg.models.terms import Term
from mg.models.tiling.tiles import Tiles

WINDOW = 17  # frames that Open-Sora codes at once; its micro_frame_size


class OpenSoraVAE(Autoencoder):
    """An image VAE and a temporal VAE. Windows of 17 frames know nothing of each other; or the whole clip is one.

    pretrained: a file written by `save`, or a published one as it is, see `mg.models.opensora_vae.read.open_foreign`.
    A clip is filled up in front, so latents alone do not say how many frames there were: give `decode` the number.

    The image VAE sees one frame at a time, so that it takes the memory of one, and one graph serves all lengths.
    """

    family = "opensora_vae"
    config_type = OpenSoraVAEConfig
    time_modes = ("restart", "whole")
    default_tiles = Tiles(
        encode_tile=WINDOW,
        encode_context=0,
        decode_tile=WINDOW,
        decode_overlap=0,
        time_mode="restart",
    )
    terms: tuple[Term, ...] = TERMS

    def build_encoder(self) -> nn.Cell:
        return Encoder(self._config)

    def build_decoder(self) -> nn.Cell:
        return Decoder(self._config)

    @property
    def min_size(self) -> int:
        """The smallest side of a frame: two latents."""
        return 2 * self.space_compression

    def window_latents(self, frames: int) -> int:
        return -(-frames // self._config.time_compression)

    def window_frames(self, latent_frames: int) -> int:
        return latent_frames * self._config.time_compression

    def fewest_frames(self, latent_frames: int) -> int:
        """Those of the shortest clip of so many: of a shorter one, other frames would be those in front."""
        return self.frames(latent_frames - 1) + 1

    def is_added(self, name: str) -> bool:
        return is_temporal(name)

    def recompute_levels(self) -> list[list[nn.Cell]]:
        """Those of the image VAE, then those of the temporal VAE."""
        encoder, decoder = self.encoder.temporal, self.decoder.temporal
        levels = [[*down.blocks, *up.blocks] for down, up in zip(encoder.levels, decoder.levels)]
        levels[-1] += [*encoder.middle, *decoder.middle]
        return blocks_by_level(self.encoder.spatial, self.decoder.spatial) + levels

    def training_forward(self) -> nn.Cell:
        return Forward(self)

    def image_model(self) -> ImageVAE:
        """The image VAE alone, which shares its networks with this model."""
        spatial = {name: getattr(self.tiles, name) for name in ("spatial_tile", "spatial_overlap", "spatial_blend")}
        return ImagePart(self, spatial)

    # The networks that are compiled each by itself

    @property
    def spatial_encoder(self) -> nn.Cell:
        return self.encoder.spatial

    @property
    def temporal_encoder(self) -> nn.Cell:
        return self.encoder.temporal

    @property
    def temporal_decoder(self) -> nn.Cell:
        return self.decoder.temporal

    @property
    def spatial_decoder(self) -> nn.Cell:
        return self.decoder.spatial

    def build_spatial_encoder(self) -> nn.Cell:
        return self.build_encoder().spatial

    def build_temporal_encoder(self) -> nn.Cell:
        return self.build_encoder().temporal

    def build_temporal_decoder(self) -> nn.Cell:
        return self.build_decoder().temporal

    def build_spatial_decoder(self) -> nn.Cell:
        return self.build_decoder().spatial

    def rows_a_latent(self, name: str) -> int:
        return self.space_compression if name == "spatial_encoder" else 1

    def encode_tile(
        self, clip: np.ndarray, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        seen = None if reference is None else self._image_latents(reference)
        return self.compute("temporal_encoder", self._image_latents(clip, reference), seen), state

    def decode_tile(
        self, latents: np.ndarray, frames: int, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, z, t, h, w) fp32 -> the last `frames` frames (B, 3, T, H, W): those before were put in front."""
        pictures = self.compute("temporal_decoder", latents, reference)[:, :, -frames:]
        seen = None if reference is None else self.compute("temporal_decoder", reference)[:, :, -frames:]
        return self._by_frame("spatial_decoder", pictures / self._config.spatial_factor, seen), state

    def _image_latents(self, clip: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """(B, 3, T, H, W) -> means of the image VAE's posteriors, as the temporal VAE sees them, (B, C, T, h, w)."""
        mean, _ = np.split(self._by_frame("spatial_encoder", clip, reference), 2, 1)
        return mean * np.float32(self._config.spatial_factor)

    def _by_frame(self, name: str, frames: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """What an image network gives, frame after frame; a reference has as many frames."""
        results = []
        for index in range(frames.shape[2]):
            one = slice(index, index + 1)
            seen = None if reference is None else reference[:, :, one]
            results.append(self.compute(name, np.ascontiguousarray(frames[:, :, one]), seen))
        return np.concatenate(results, 2)

    @classmethod
    def reads(cls, names: Collection[str]) -> bool:
        return can_read(names)

    def load(self, file: weights.TensorFile) -> None:
        tensors = file if file.header else open_foreign(file)
        weights.assign(self, list(weights.named_parameters(self)), tensors, file.path)

    @classmethod
    def stored_config(cls, file: weights.TensorFile) -> Any | None:
        if file.header:
            return super().stored_config(file)
        return open_foreign(file).config if can_read(file) else None


class ImagePart(ImageVAE):
    """The image VAE inside a model: it has the model's own networks. sizes: of its tiles."""

    def __init__(self, whole: OpenSoraVAE, sizes: dict[str, Any]):
        super().__init__(whole._config.spatial, **sizes)
        self.encoder, self.decoder = whole.spatial_encoder, whole.spatial_decoder
        self.compute_dtype, self.weights_path = whole.compute_dtype, whole.weights_path

    def begin(self) -> None:
        """Nothing: the networks that were drawn are replaced."""
