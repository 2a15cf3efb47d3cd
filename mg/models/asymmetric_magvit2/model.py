"""AsymmetricMagVitV2 of bornfly-detachment: images and videos to latents, 4x8x8 smaller, and back.

A causal 3D VAE whose decoder is larger than its encoder, after MAGVIT-v2 (arXiv 2310.05737).
"""

from __future__ import annotations

from mindspore import nn

from mg.models.asymmetric_magvit2.config import AsymmetricMagVit2Config
from mg.models.asymmetric_magvit2.decoder import Decoder
from mg.models.asymmetric_magvit2.encoder import Encoder
from mg.models.autoencoder import Autoencoder
from mg.models.causal import CausalLengths
from mg.models.forward import GaussianForward
from mg.models.layers.resnet import blocks_by_level
from mg.models.tiling.tiles import Tiles


class AsymmetricMagVit2(CausalLengths, Autoencoder):
    """A causal VAE whose norms take their statistics over a whole clip: what its weights learned is a window of 17.

    So windows of 17 frames that know nothing of each other are the default. pretrained: a file written by `save` or
    tools/convert_checkpoint.py.
    """

    family = "asymmetric_magvit2"
    config_type = AsymmetricMagVit2Config
    time_modes = ("restart", "blend")
    default_tiles = Tiles(encode_tile=17, encode_context=0, decode_tile=17, decode_overlap=0, time_mode="restart")

    def build_encoder(self) -> nn.Cell:
        return Encoder(self._config)

    def build_decoder(self) -> nn.Cell:
        return Decoder(self._config)

    def recompute_levels(self) -> list[list[nn.Cell]]:
        return blocks_by_level(self.encoder, self.decoder)

    def training_forward(self) -> nn.Cell:
        return GaussianForward(self)
