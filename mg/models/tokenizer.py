"""What families whose latents are codes offer besides: integers for language models."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor

from mg.errors import InputError
from mg.models.autoencoder import Autoencoder


class Tokenizer(Autoencoder):
    """A family whose latents are codes: `latent_kind` gives `Codes`."""

    def tokenize(self, x: Tensor | np.ndarray) -> Tensor:
        """Integers (B, t, h, w), or (B, h, w) for images, int32, of clips or images as `encode` takes them."""
        return self.encode(x)[1]

    def decode_tokens(self, tokens: Tensor | np.ndarray, num_target_frames: int | None = None) -> Tensor:
        """Clips or images of integers (B, t, h, w), or (B, h, w) for images."""
        integers = tokens.asnumpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
        if integers.ndim not in (3, 4):
            raise InputError(f"tokens have shape {integers.shape}, but must be (B, t, h, w), or (B, h, w) for images")
        is_image = integers.ndim == 3
        z = self.latents.signs(integers[:, None] if is_image else integers)
        return self.decode(z[:, :, 0] if is_image else z, num_target_frames)
