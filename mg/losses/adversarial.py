"""Losses of a discriminator and of what it judges. Pure functions of logits and norms, all in fp32."""

from __future__ import annotations

from mindspore import Tensor, ops
from mindspore import dtype as mstype

_EPS = 1e-4
_LINEAR = 20.0  # from here on softplus(x) is x in fp32


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """1/2 (mean max(0, 1 - real) + mean max(0, 1 + fake)).  Geometric GAN (arXiv 1705.02894), halved as in VQGAN.

    real, fake: logits of any shape.
    """
    real, fake = real.astype(mstype.float32), fake.astype(mstype.float32)
    return 0.5 * (ops.relu(1.0 - real).mean() + ops.relu(1.0 + fake).mean())


def generator_hinge(fake: Tensor) -> Tensor:
    """-mean(fake): what the autoencoder pays for logits that its reconstructions get.  arXiv 1705.02894."""
    return -fake.astype(mstype.float32).mean()


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), without overflow and with the gradient 1/2 at 0; MindSpore has none on a CPU."""
    return ops.select(x > _LINEAR, x, ops.log1p(ops.exp(ops.minimum(x, _LINEAR))))


def discriminator_non_saturating(real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(-real) + mean softplus(fake), a sum.  GAN (arXiv 1406.2661), in the form of StyleGAN.

    real, fake: logits of any shape.
    """
    real, fake = real.astype(mstype.float32), fake.astype(mstype.float32)
    return softplus(-real).mean() + softplus(fake).mean()


def generator_non_saturating(fake: Tensor) -> Tensor:
    """mean softplus(-fake): what the autoencoder pays for logits that its reconstructions get.  arXiv 1406.2661."""
    return softplus(-fake.astype(mstype.float32)).mean()


# name -> (loss of the discriminator, of real and fake logits; loss of what it judges, of fake ones)
LOSSES = {
    "hinge": (discriminator_hinge, generator_hinge),
    "non_saturating": (discriminator_non_saturating, generator_non_saturating),
}


def by_clip(logits: Tensor) -> Tensor:
    """Sum over the clips of a batch of the mean of each one's logits, (B, ...): its gradient is that of each clip."""
    return logits.astype(mstype.float32).reshape(logits.shape[0], -1).mean(1).sum()


def gradient_penalty(gradient: Tensor) -> Tensor:
    """R1: the squared gradient of a clip's mean logit by that clip, summed over it and averaged over the batch.

    gradient: of `by_clip` by real clips, (B, 3, T, H, W).  Mescheder et al. (arXiv 1801.04406), equation 9, without
    its factor of 1/2.
    """
    gradient = gradient.astype(mstype.float32)
    return (gradient * gradient).sum() / gradient.shape[0]


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


def lecam_of_means(real: Tensor, fake: Tensor, running_real: Tensor, running_fake: Tensor) -> Tensor:
    """max(0, real - running_fake)^2 + max(0, running_real - fake)^2, of the mean logits of a batch.

    real, fake: scalars, mean logits over the batch and all ranks; running_real, running_fake: their means so far, the
    batch's among them.  As MAGVIT-v2's programs have LeCAM (arXiv 2104.03310).
    """
    from_fake = ops.relu(real.astype(mstype.float32) - ops.stop_gradient(running_fake))
    from_real = ops.relu(ops.stop_gradient(running_real) - fake.astype(mstype.float32))
    return from_fake * from_fake + from_real * from_real


def update_running_mean(running: Tensor, logits: Tensor, decay: float = 0.99) -> Tensor:
    """The new running mean, `decay * running + (1 - decay) * mean(logits)`; no gradient.  arXiv 2104.03310."""
    return ops.stop_gradient(decay * running + (1.0 - decay) * logits.astype(mstype.float32).mean())
