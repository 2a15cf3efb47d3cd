"""The Temporal Autoencoder: images and videos to latents, 8x8x8 smaller, and back.

Movie Gen (arXiv 2410.13720), section 3.1.1, with the layers of the SD3.5 image VAE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, nn

from mg.errors import InputError
from mg.models import weights
from mg.models.autoencoder import Autoencoder
from mg.models.forward import GaussianForward
from mg.models.layers.resnet import blocks_by_level
from mg.models.tae.config import TAEConfig
from mg.models.tae.decoder import Decoder
from mg.models.tae.encoder import Encoder
from mg.models.tae.names import is_temporal

_TEMPORAL = "temporal"  # what a file may leave out
TAE_CONFIG: Mapping[str, Any] = TAEConfig().as_mapping()


class TemporalAutoencoder(Autoencoder):
    """A video VAE whose every temporal part starts as an exact identity, so that it begins as the image VAE.

    config: a mapping with the keys of TAE_CONFIG; pretrained: a file written by `save`, tools/inflate_vae_to_tae.py or
    tools/convert_checkpoint.py. The rest, and how it is used, is in `mg.models.autoencoder.Autoencoder`. Its windows
    over time are Movie Gen's, with context.
    """

    family = "tae"
    config_type = TAEConfig
    default_weights = Path(__file__).with_name("default.safetensors")

    @classmethod
    def from_default(cls, **options: Any) -> TemporalAutoencoder:
        """The model that ships with the package; options are the constructor's."""
        return cls(pretrained=cls.default_weights, **options)

    def build_encoder(self) -> nn.Cell:
        return Encoder(self._config)

    def build_decoder(self) -> nn.Cell:
        return Decoder(self._config)

    def window_latents(self, frames: int) -> int:
        return -(-frames // self._config.compression)

    def window_frames(self, latent_frames: int) -> int:
        return latent_frames * self._config.compression

    def filled(self, frames: int) -> int:
        """Whole latent frames, so that all layers see the same clip; upstream's weights fill up inside each layer."""
        whole = self._config.downsample_padding == "end" and frames > 1
        return self.window_frames(self.window_latents(frames)) if whole else frames

    def is_added(self, name: str) -> bool:
        return is_temporal(name)

    def recompute_levels(self) -> list[list[nn.Cell]]:
        return blocks_by_level(self.encoder, self.decoder)

    def live_values(self, name: str, length: int) -> float:
        """Measured: see tests/models/test_memory.py. One latent frame costs the decoder as much as two frames."""
        first, second = (*self._config.channels, self._config.channels[-1])[:2]
        if name == "encoder":
            return 7.0 * first * length
        return 5.3 * second * (2 if length == 1 else self.window_frames(length))

    def training_forward(self) -> GaussianForward:
        return GaussianForward(self)

    def save(self, path: str | Path, dtype: str = "fp32", omit_identity: bool = False) -> None:
        """Write weights and configuration to a `.ckpt` or `.safetensors` file.

        dtype: stored type, fp32, fp16 or bf16.
        omit_identity: leave out the temporal parameters; InputError unless all are still at their start.
        """
        if not omit_identity:
            super().save(path, dtype)
            return
        self._require_identity()
        parameters = weights.named_parameters(self)
        kept = {name: p for name, p in parameters.items() if not is_temporal(name)}
        weights.write(path, kept, {**self.header(), "omitted": _TEMPORAL}, dtype)

    def load(self, file: weights.TensorFile) -> None:
        if file.header.get("omitted") != _TEMPORAL:
            super().load(file)
            return
        names = [name for name in weights.named_parameters(self) if not is_temporal(name)]
        weights.assign(self, names, file, file.path)

    def _require_identity(self):
        fresh = weights.named_parameters(TemporalAutoencoder(self._config))
        own = weights.named_parameters(self)
        moved = [name for name in own if is_temporal(name) and _differ(own[name], fresh[name])]
        if moved:
            raise InputError(
                f"omit_identity: {len(moved)} temporal parameters have left their identity start ({moved[0]}, ...); "
                "save them too"
            )


def _differ(a: Parameter, b: Parameter) -> bool:
    return not np.array_equal(a.asnumpy(), b.asnumpy())
