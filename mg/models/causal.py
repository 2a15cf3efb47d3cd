"""Lengths of causal families: their first latent frame is one frame alone, each later one a group of frames."""

from __future__ import annotations


class CausalLengths:
    """1 + n * m frames are 1 + m latent frames, where n is the configuration's `time_compression`.

    A family derives from it first, then from `mg.models.autoencoder.Autoencoder`, whose methods these are.
    """

    def window_latents(self, frames: int) -> int:
        return min(frames, 1) + -(-max(frames - 1, 0) // self._config.time_compression)

    def window_frames(self, latent_frames: int) -> int:
        return max(0, self._config.time_compression * (latent_frames - 1) + 1)

    def filled(self, frames: int) -> int:
        """Whole latent frames."""
        return self.window_frames(self.window_latents(frames))
