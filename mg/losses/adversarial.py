"""Losses of a discriminator and of what it judges. Pure functions of logits and norms, all in fp32."""

from __future__ import annotations

from mindspore import Tensor, ops
from mindspore import dtype as mstype

_EPS = 1e-4


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (mean max(0, 1 - real) + mean max(0, 1 + fake)).  Geometric GAN (arXiv 1705.02894), halved as in VQGAN.

    real, fake: logits of any shape.
    """
    real, fake = real.astype(mstype.float32), fake.astype(mstype.float32)
    return 0.5 * (ops.relu(1.0 - real).mean() + ops.relu(1.0 + fake).mean())


def generator_hinge(fake: Tensor) -> Tensor:
    """-mean(fake): what the autoencoder pays for logits that its reconstructions get.  arXiv 1705.02894."""
    return -fake.astype(mstype.float32).mean()


def adaptive_weight(norm_reconstruction: Tensor, norm_adversarial: Tensor, limit: float, eps: float = _EPS) -> Tensor:
    """norm_reconstruction / (norm_adversarial + eps), clipped to [0, limit]; no gradient flows through it.

    The norms are those of the gradients of the weighted reconstruction terms and of the adversarial term with respect
    to the reconstruction.  VQGAN (arXiv 2012.09841), section 3.1, takes them with respect to the decoder's last weight.
    """
    ratio = norm_reconstruction.astype(mstype.float32) / (norm_adversarial.astype(mstype.float32) + eps)
    return ops.stop_gradient(ops.clamp(ratio, 0.0, limit))


def lecam(real: Tensor, fake: Tensor, running_real: Tensor, running_fake: Tensor) -> Tensor:
    """mean (real - running_fake)^2 + mean (fake - running_real)^2, added to the discriminator's loss.

    real, fake: logits; running_real, running_fake: scalars, their means so far.  LeCAM (arXiv 2104.03310).
    """
    from_fake = real.astype(mstype.float32) - ops.stop_gradient(running_fake)
    from_real = fake.astype(mstype.float32) - ops.stop_gradient(running_real)
    return (from_fake * from_fake).mean() + (from_real * from_real).mean()


def update_running_mean(running: Tensor, logits: Tensor, decay: float = 0.99) -> Tensor:
    """The new running mean, `decay * running + (1 - decay) * mean(logits)`; no gradient.  arXiv 2104.03310."""
    return ops.stop_gradient(decay * running + (1.0 - decay) * logits.astype(mstype.float32).mean())
