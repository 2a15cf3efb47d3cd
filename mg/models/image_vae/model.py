"""The image VAE of Stable Diffusion 1.5, XL, 3 and 3.5: images to latents and back, and videos frame by frame.

Rombach et al. (arXiv 2112.10752), section 3.1; diffusers calls it AutoencoderKL. Every frame is coded alone.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mindspore import nn

from mg.models import weights
from mg.models.autoencoder import Autoencoder
from mg.models.forward import GaussianForward
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.image_vae.decoder import Decoder
from mg.models.image_vae.encoder import Encoder
from mg.models.image_vae.names import OURS
from mg.models.image_vae.read import FAMILY, can_read, open_foreign
from mg.models.image_vae.stored import config_of
from mg.models.layers.resnet import blocks_by_level
from mg.models.tiling.tiles import Tiles


class ImageVAE(Autoencoder):
    """An image VAE. A video is a batch of images to it: windows over time are batches that share nothing.

    pretrained: a file written by `save`; or one of diffusers, or a single-file checkpoint, as it is, with the
    config.json beside it if there is one: see `mg.models.image_vae.read.open_foreign`.
    """

    family = FAMILY
    config_type = ImageVAEConfig
    default_tiles = Tiles(encode_tile=8, encode_overlap=0, encode_context=0, decode_tile=8, decode_overlap=0)

    def build_encoder(self) -> nn.Cell:
        return Encoder(self._config)

    def build_decoder(self) -> nn.Cell:
        return Decoder(self._config)

    @property
    def min_size(self) -> int:
        """The smallest side of a frame: two latents."""
        return 2 * self.space_compression

    def window_latents(self, frames: int) -> int:
        return frames

    def window_frames(self, latent_frames: int) -> int:
        return latent_frames

    def recompute_levels(self) -> list[list[nn.Cell]]:
        return blocks_by_level(self.encoder, self.decoder)

    def live_values(self, name: str, length: int) -> float:
        """Measured: see tests/models/test_memory.py."""
        first, second = (*self._config.block_out_channels, self._config.block_out_channels[-1])[:2]
        return (4.3 * first if name == "encoder" else 5.3 * second) * length

    def training_forward(self) -> nn.Cell:
        return GaussianForward(self)

    @classmethod
    def reads(cls, names: Collection[str]) -> bool:
        return can_read(names)

    def load(self, file: weights.TensorFile) -> None:
        tensors = file if _is_ours(file) else open_foreign(file)
        weights.assign(self, list(weights.named_parameters(self)), tensors, file.path)

    @classmethod
    def stored_config(cls, file: weights.TensorFile) -> Any | None:
        if _is_ours(file):
            return super().stored_config(file)
        image = open_foreign(file)
        return config_of(image, image.stored, image.path)


def _is_ours(file: weights.TensorFile) -> bool:
    """Whether `save` wrote a file, or something that renamed its tensors to ours."""
    return bool(file.header) or OURS in file
