"""A Gaussian family as a training step sees it: a clip and noise to everything that losses look at."""

from __future__ import annotations

from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mg.models.autoencoder import Autoencoder
from mg.models.latents import sample


class GaussianForward(nn.Cell):
    """(clip, noise) -> {"reconstruction", "mean", "logvar"}, all in fp32; the networks compute in the model's type.

    clip, reconstruction: (B, 3, T, H, W) in [-1, 1]. noise, mean, logvar: (B, z, t, h, w); see `noise_shapes`.
    """

    outputs = ("reconstruction", "mean", "logvar")

    def __init__(self, model: Autoencoder):
        super().__init__(auto_prefix=False)  # the networks keep their parameters' names
        self.encoder = model.encoder.set_train()
        self.decoder = model.decoder.set_train()
        self.dtype = model.compute_dtype
        self.channels = model.channels_in_latent
        self.window_latents, self.compression = model.window_latents, model.space_compression

    def construct(self, clip: Tensor, noise: Tensor) -> dict[str, Tensor]:
        _, _, frames, height, width = clip.shape
        mean, logvar = self.encoder(clip.astype(self.dtype))
        recon = self.decoder(sample(mean, logvar, noise).astype(self.dtype))
        recon = recon[:, :, :frames, :height, :width]
        return {"reconstruction": recon.astype(mstype.float32), "mean": mean, "logvar": logvar}

    def noise_shapes(self, clip: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The shape of each noise for a clip of shape (B, 3, T, H, W): there is one."""
        batch, _, frames, *sides = clip
        return ((batch, self.channels, self.window_latents(frames), *(-(-side // self.compression) for side in sides)),)
