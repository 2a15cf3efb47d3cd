"""The model as a training step sees it: a clip and two noises to everything that losses look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.models.latents import sample

if TYPE_CHECKING:
    from mg.models.opensora_vae.model import OpenSoraVAE


class Forward(nn.Cell):
    """(clip, spatial noise, temporal noise) -> a dict of `outputs`, all in fp32.

    clip, reconstruction: (B, 3, T, H, W) in [-1, 1]. image_latents, their reconstruction image_latents_rec, and the
    spatial noise: (B, C, T, h, w); image_latents are a sample of the image VAE's posterior, times its factor.
    z, a sample of the temporal posterior, its mean and logvar, and the temporal noise: (B, z, t, h, w).
    A clip goes through the temporal VAE in the model's windows, whose latents are joined; all of them count.
    """

    outputs = ("reconstruction", "mean", "logvar", "z", "image_latents", "image_latents_rec")

    def __init__(self, model: OpenSoraVAE):
        super().__init__(auto_prefix=False)  # the networks keep their parameters' names
        self.encoder = model.encoder.set_train()
        self.decoder = model.decoder.set_train()
        self.dtype, self.factor = model.compute_dtype, model.config["spatial_factor"]
        self.channels = model.config["spatial_latent"], model.channels_in_latent
        self.compression, self.window = model.space_compression, model.tiles.encode_window
        self.window_latents, self.latent_frames = model.window_latents, model.latent_frames

    def construct(self, clip: Tensor, spatial_noise: Tensor, temporal_noise: Tensor) -> dict[str, Tensor]:
        height, width = clip.shape[3:]
        mean, logvar = self.encoder.spatial(clip.astype(self.dtype))
        latents = sample(mean, logvar, spatial_noise) * self.factor
        recon, z, mean, logvar = self.in_windows(latents, temporal_noise)
        pixels = self.decoder.spatial((recon / self.factor).astype(self.dtype))
        return {
            "reconstruction": pixels[:, :, :, :height, :width].astype(mstype.float32),
            "mean": mean,
            "logvar": logvar,
            "z": z,
            "image_latents": latents,
            "image_latents_rec": recon,
        }

    def in_windows(self, latents: Tensor, noise: Tensor) -> list[Tensor]:
        """Reconstructed image latents, sample, mean and log-variance of all windows, joined over time."""
        frames, window, rows = latents.shape[2], self.window, []
        for start in range(0, frames, window):
            stop, first = min(start + window, frames), self.latent_frames(start)
            noise_here = noise[:, :, first : first + self.window_latents(stop - start)]
            rows.append(self.temporal(latents[:, :, start:stop], noise_here))
        if len(rows) == 1:
            return rows[0]
        return [ops.concat([row[index] for row in rows], 2) for index in range(4)]

    def temporal(self, latents: Tensor, noise: Tensor) -> list[Tensor]:
        """The same of one window."""
        frames = latents.shape[2]
        mean, logvar = self.encoder.temporal(latents.astype(self.dtype))
        z = sample(mean, logvar, noise)
        recon = self.decoder.temporal(z.astype(self.dtype))
        return [recon[:, :, recon.shape[2] - frames :], z, mean, logvar]

    def noise_shapes(self, clip: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The shapes of both noises for a clip of shape (B, 3, T, H, W)."""
        batch, _, frames, *sides = clip
        grid = [-(-side // self.compression) for side in sides]
        lengths = frames, self.latent_frames(frames)
        return tuple((batch, channels, length, *grid) for channels, length in zip(self.channels, lengths))
