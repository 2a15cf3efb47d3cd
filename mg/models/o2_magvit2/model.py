"""O2-MAGVIT2: images and videos to tokens of 18 bits, 4x16x16 smaller, and back; exactly the same in pieces.

The encoder and decoder of MAGVIT-v2 (arXiv 2310.05737, appendix) with its lookup-free quantizer, as cofe-ai/O2-MAGVIT2
published them.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn

from mg.models.causal import CausalLengths
from mg.models.latents import Codes
from mg.models.layers.bands import Bands
from mg.models.o2_magvit2.blocks import States
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.decoder import Decoder
from mg.models.o2_magvit2.encoder import Encoder
from mg.models.o2_magvit2.forward import Forward
from mg.models.o2_magvit2.terms import TERMS
from mg.models.tiling.stream import padded
from mg.models.tiling.tiles import Tiles
from mg.models.tokenizer import Tokenizer


class Carrying(nn.Cell):
    """(array, *states) -> (result, *states): a network as it is compiled for pieces of a clip."""

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, x: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        result, kept = self.network.carry(x, before)
        return (result, *kept)


class O2Magvit2(CausalLengths, Tokenizer):
    """A tokenizer whose latents are codes; or, with `image_model`, its first stage, which codes every frame alone.

    pretrained: a file written by `save`, tools/convert_checkpoint.py or tools/inflate_magvit2.py.
    """

    family = "o2_magvit2"
    config_type = O2Magvit2Config
    time_modes = ("carry", "restart")
    default_tiles = Tiles(
        encode_tile=17,
        encode_context=0,
        decode_tile=17,
        decode_overlap=0,
        time_mode="carry",
    )
    terms = TERMS

    def build_encoder(self) -> nn.Cell:
        return Encoder(self._config)

    def build_decoder(self) -> nn.Cell:
        return Decoder(self._config)

    def latent_kind(self) -> Codes:
        return Codes(self._config.token_size)

    def recompute_levels(self) -> list[list[nn.Cell]]:
        levels = [[*down.blocks, *up.blocks] for down, up in zip(self.encoder.levels, self.decoder.levels[::-1])]
        levels[-1] += [*self.encoder.final, *self.decoder.first]
        return levels

    def training_forward(self) -> nn.Cell:
        return Forward(self)

    def encode_tile(
        self, clip: np.ndarray, state: States | None = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, States]:
        if state is None:
            clip = padded(clip, self.space_compression, self.filled(clip.shape[2]))
        return self._carry("encoder", clip, state or ())

    def decode_tile(
        self, latents: np.ndarray, frames: int, state: States | None = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, States]:
        return self._carry("decoder", latents, state or ())

    def _carry(self, name: str, array: np.ndarray, before: States) -> tuple[np.ndarray, States]:
        """What the network `name` gives for a piece of a clip, fp32, and the states for the next; () at first."""
        result, *kept = self.run(name, array, *before)
        return self.joined(result.asnumpy()), tuple(kept)

    def network_of(self, name: str, shared: bool, bands: Bands | None) -> nn.Cell:
        return Carrying(super().network_of(name, shared, bands))
