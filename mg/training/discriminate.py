"""Training against a discriminator: its own step, and the weight of what it says."""

from __future__ import annotations

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from mg.losses.adversarial import adaptive_weight, discriminator_hinge, generator_hinge, lecam, update_running_mean
from mg.losses.objective import Objective
from mg.distributed import Average
from mg.training.step import Update


class DiscriminatorLoss(nn.Cell):
    """(clip, reconstruction, running means) -> (loss, (logits of the clip, logits of the reconstruction))."""

    def __init__(self, discriminator: nn.Cell, lecam_weight: float, dtype):
        super().__init__(auto_prefix=False)
        self.discriminator = discriminator
        self.lecam_weight = lecam_weight
        self.dtype = dtype

    def construct(self, clip: Tensor, recon: Tensor, running_real: Tensor, running_fake: Tensor):
        real, fake = self.discriminator(clip.astype(self.dtype)), self.discriminator(recon.astype(self.dtype))
        loss = discriminator_hinge(real, fake)
        if self.lecam_weight > 0:
            loss = loss + self.lecam_weight * lecam(real, fake, running_real, running_fake)
        return loss, (real, fake)


class DiscriminatorStep(nn.Cell):
    """(clip, reconstruction, learning rate) -> loss, (norm of the gradients, 1 or 0 as `Update` says)."""

    def __init__(self, loss: DiscriminatorLoss, update: Update, ranks: int):
        super().__init__(auto_prefix=False)
        self.loss = loss
        self.update = update
        self.average = Average(ranks)
        self.value_and_grad = ops.value_and_grad(
            loss, None, ParameterTuple(loss.discriminator.trainable_params()), True
        )
        self.running_real = Parameter(Tensor(0.0, mstype.float32), name="lecam.real", requires_grad=False)
        self.running_fake = Parameter(Tensor(0.0, mstype.float32), name="lecam.fake", requires_grad=False)

    def construct(self, clip: Tensor, recon: Tensor, learning_rate: Tensor):
        (loss, logits), gradients = self.value_and_grad(clip, recon, self.running_real * 1.0, self.running_fake * 1.0)
        taken = self.update(gradients, learning_rate)
        real, fake = logits
        if self.loss.lecam_weight > 0:
            real, fake = self.average((real.mean().reshape(1), fake.mean().reshape(1)))
            ops.assign(self.running_real, self.moved(self.running_real, real))
            ops.assign(self.running_fake, self.moved(self.running_fake, fake))
        return loss, taken

    def moved(self, running: Tensor, logits: Tensor) -> Tensor:
        """The new running mean; the old one where the logits are not finite."""
        new = update_running_mean(running, logits)
        return ops.select(ops.isfinite(new), new, running * 1.0)


class Balance(nn.Cell):
    """(clip, reconstruction) -> the adaptive weight of the adversarial term, a scalar.

    VQGAN's ratio of gradient norms (arXiv 2012.09841), here with respect to the reconstruction itself: no pass through
    the decoder is needed.
    """

    def __init__(self, objective: Objective, discriminator: nn.Cell, limit: float, ranks: int, dtype):
        super().__init__(auto_prefix=False)
        self.of_objective = ops.grad(_ByReconstruction(objective), 0)
        self.of_discriminator = ops.grad(_Judged(discriminator, dtype), 0)
        self.limit = limit
        self.average = Average(ranks)

    def construct(self, clip: Tensor, recon: Tensor) -> Tensor:
        own, judged = self.of_objective(recon, clip), self.of_discriminator(recon)
        own, judged = self.average(((own * own).sum().reshape(1), (judged * judged).sum().reshape(1)))
        return adaptive_weight(ops.sqrt(own), ops.sqrt(judged), self.limit)[0]


class _ByReconstruction(nn.Cell):
    def __init__(self, objective: Objective):
        super().__init__(auto_prefix=False)
        self.objective = objective

    def construct(self, recon: Tensor, clip: Tensor) -> Tensor:
        return self.objective.of_reconstruction(recon, clip)


class _Judged(nn.Cell):
    def __init__(self, discriminator: nn.Cell, dtype):
        super().__init__(auto_prefix=False)
        self.discriminator = discriminator
        self.dtype = dtype

    def construct(self, recon: Tensor) -> Tensor:
        return generator_hinge(self.discriminator(recon.astype(self.dtype)))
