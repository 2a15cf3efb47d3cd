"""The TAE as a training step sees it: a clip and noise to everything that losses look at."""

from __future__ import annotations

from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mg.models.latents import sample
from mg.models.tae.tae import TemporalAutoencoder


class TAEForward(nn.Cell):
    """(clip, noise) -> {"reconstruction", "mean", "logvar"}, all in fp32; the networks compute in the model's type.

    clip, reconstruction: (B, 3, T, H, W) in [-1, 1]. noise, mean, logvar: (B, z, t, h, w); see `noise_shape`.
    """

    def __init__(self, tae: TemporalAutoencoder):
        super().__init__(auto_prefix=False)  # the networks keep their parameters' names
        self.encoder = tae.encoder.set_train()
        self.decoder = tae.decoder.set_train()
        self.dtype = tae.compute_dtype
        self.z_channels = tae.config["z_channels"]
        self.compression = tae.time_compression, tae.space_compression

    def construct(self, clip: Tensor, noise: Tensor) -> dict[str, Tensor]:
        _, _, frames, height, width = clip.shape
        mean, logvar = self.encoder(clip.astype(self.dtype))
        recon = self.decoder(sample(mean, logvar, noise).astype(self.dtype))
        recon = recon[:, :, :frames, :height, :width]
        return {"reconstruction": recon.astype(mstype.float32), "mean": mean, "logvar": logvar}

    def noise_shape(self, clip: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the noise for a clip of shape (B, 3, T, H, W)."""
        batch, _, frames, height, width = clip
        time, space = self.compression
        return batch, self.z_channels, -(-frames // time), -(-height // space), -(-width // space)


def blocks_by_level(tae: TemporalAutoencoder) -> list[list[nn.Cell]]:
    """The residual blocks of encoder and decoder, from the level of the largest frames to that of the smallest."""
    levels = [[*down.blocks, *up.blocks] for down, up in zip(tae.encoder.levels, list(tae.decoder.levels)[::-1])]
    for middle in (tae.encoder.middle, tae.decoder.middle):
        levels[-1] += [middle.block1, middle.block2]
    return levels
