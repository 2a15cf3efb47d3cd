"""Losses that only this family has. Those of pixels are shared ones: docs/families/opensora_vae.md has the stages."""

from __future__ import annotations

from typing import Any

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.errors import InputError
from mg.models.terms import Facts, Term


def latent_distance(latents: Tensor, recon: Tensor) -> Tensor:
    """Absolute differences of image latents and of what the temporal VAE makes of them, summed over a frame.

    latents, recon: (B, C, T, h, w). The mean over clips and frames, an fp32 scalar.
    """
    batch, _, frames, _, _ = latents.shape
    return (recon - latents).astype(mstype.float32).abs().sum() / (batch * frames)


def image_identity(latents: Tensor, z: Tensor) -> Tensor:
    """Absolute differences of an image's latents and of the temporal VAE's, summed; the mean over images.

    latents, z: (B, C, 1, h, w).  0 for clips of more frames.  Returns an fp32 scalar.
    """
    if latents.shape[2] > 1:
        return ops.zeros((), mstype.float32)
    return latent_distance(latents, z)


def clip_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(logvar)) from N(0, I), summed over a clip's latents; the mean over clips.

    mean, logvar: (B, z, t, h, w), of all windows; log-variance already clamped.  Returns an fp32 scalar.
    Closed form: Kingma and Welling (arXiv 1312.6114), appendix B.
    """
    mean, logvar = mean.astype(mstype.float32), logvar.astype(mstype.float32)
    return 0.5 * (mean * mean + ops.exp(logvar) - 1.0 - logvar).sum() / mean.shape[0]


class _Identity(nn.Cell):
    """`image_identity` of a model whose both latents have as many channels. Raises InputError for another."""

    def __init__(self, config: Any, facts: Facts):
        super().__init__()
        channels = facts.config["spatial_latent"], facts.config["z_channels"]
        if channels[0] != channels[1]:
            raise InputError(
                f"image_identity_weight compares latents of {channels[0]} and of {channels[1]} channels, which must be "
                "as many; set it to 0, or build a model with z_channels = spatial_latent"
            )

    def construct(self, latents: Tensor, z: Tensor) -> Tensor:
        return image_identity(latents, z)


TERMS = (
    Term(
        "latent_distance",
        ("image_latents", "image_latents_rec"),
        "absolute differences of image latents, summed over a frame",
        function=latent_distance,
    ),
    Term(
        "image_identity",
        ("image_latents", "z"),
        "distance of an image's latents from the image VAE's, summed",
        cell=_Identity,
    ),
    Term("clip_kl", ("mean", "logvar"), "divergence of the posterior, summed over a clip", function=clip_kl),
)
