"""Training against a discriminator: its own step, and the weight of what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from mg.distributed import Average
from mg.errors import InputError
from mg.losses.adversarial import (
    LOSSES,
    adaptive_weight,
    by_clip,
    gradient_penalty,
    lecam,
    lecam_of_means,
    update_running_mean,
)
from mg.losses.objective import Objective
from mg.training.config import AdversarialConfig
from mg.training.step import Accumulate, Update, UpdateFromSums, sums_for

Pairs = Sequence[tuple[Tensor, Tensor]]  # clips and their reconstructions, one of each micro batch


class Adversarial(nn.Cell):
    """(reconstruction) -> what the model pays for the logits that it gets; they are computed in `dtype`."""

    def __init__(self, discriminator: nn.Cell, loss: Callable[[Tensor], Tensor], dtype):
        super().__init__(auto_prefix=False)
        self.discriminator = discriminator
        self.loss = loss
        self.dtype = dtype

    def construct(self, recon: Tensor) -> Tensor:
        return self.loss(self.discriminator(recon.astype(self.dtype)))


class RunningMeans(nn.Cell):
    """What LeCAM remembers of the logits of clips and of reconstructions, over all ranks.

    (means of the logits of both, (2,), of each micro batch) -> the new running means.
    """

    def __init__(self, decay: float, ranks: int):
        super().__init__(auto_prefix=False)
        self.decay = decay
        self.average = Average(ranks)
        self.real = Parameter(Tensor(0.0, mstype.float32), name="lecam.real", requires_grad=False)
        self.fake = Parameter(Tensor(0.0, mstype.float32), name="lecam.fake", requires_grad=False)

    def construct(self, *means: Tensor) -> tuple[Tensor, Tensor]:
        (both,) = self.average((ops.stack(means).mean(0),))
        real, fake = self.moved(self.real, both[0]), self.moved(self.fake, both[1])
        ops.assign(self.real, real)
        ops.assign(self.fake, fake)
        return real, fake

    def moved(self, running: Tensor, logits: Tensor) -> Tensor:
        """The new running mean; the old one where the logits are not finite."""
        new = update_running_mean(running, logits, self.decay)
        return ops.select(ops.isfinite(new), new, running * 1.0)


class DiscriminatorLoss(nn.Cell):
    """(clip, reconstruction, running means) -> (loss, means of the logits of both, (2,))."""

    def __init__(self, discriminator: nn.Cell, config: AdversarialConfig, dtype, ranks: int):
        super().__init__(auto_prefix=False)
        self.discriminator = discriminator
        self.loss, _ = LOSSES[config.disc_loss]
        self.lecam_weight, self.lecam_decay = config.lecam_weight, config.lecam_decay
        self.of_means = config.lecam_of == "means"
        self.average = Average(ranks)
        self.dtype = dtype

    def construct(self, clip: Tensor, recon: Tensor, running_real: Tensor, running_fake: Tensor):
        real, fake = self.discriminator(clip.astype(self.dtype)), self.discriminator(recon.astype(self.dtype))
        loss = self.loss(real, fake)
        means = ops.stack([real.astype(mstype.float32).mean(), fake.astype(mstype.float32).mean()])
        if self.lecam_weight > 0 and self.of_means:
            loss = loss + self.lecam_weight * self.moved_first(means, running_real, running_fake)
        elif self.lecam_weight > 0:
            loss = loss + self.lecam_weight * lecam(real, fake, running_real, running_fake)
        return loss, means

    def moved_first(self, means: Tensor, running_real: Tensor, running_fake: Tensor) -> Tensor:
        """LeCAM of the mean logits of all ranks, of which the running means know already."""
        (both,) = self.average((means,))
        real = update_running_mean(running_real, both[0], self.lecam_decay)
        fake = update_running_mean(running_fake, both[1], self.lecam_decay)
        return lecam_of_means(both[0], both[1], real, fake)


class DiscriminatorGradients(nn.Cell):
    """(clip, reconstruction) -> (loss, means of the logits), gradients of the discriminator."""

    def __init__(self, loss: DiscriminatorLoss, trained: ParameterTuple, running: RunningMeans):
        super().__init__(auto_prefix=False)
        self.running = running
        self.value_and_grad = ops.value_and_grad(loss, None, trained, True)

    def construct(self, clip: Tensor, recon: Tensor):
        (loss, means), gradients = self.value_and_grad(clip, recon, self.running.real * 1.0, self.running.fake * 1.0)
        return (loss, means), gradients


class R1Gradients(nn.Cell):
    """(clip) -> R1, gradients of `weight` * R1."""

    def __init__(self, discriminator: nn.Cell, trained: ParameterTuple, weight: float, dtype):
        super().__init__(auto_prefix=False)
        self.value_and_grad = ops.value_and_grad(_R1(discriminator, weight, dtype), None, trained, True)

    def construct(self, clip: Tensor):
        (_, penalty), gradients = self.value_and_grad(clip)
        return penalty, gradients


class _R1(nn.Cell):
    def __init__(self, discriminator: nn.Cell, weight: float, dtype):
        super().__init__(auto_prefix=False)
        self.gradient = ops.grad(Adversarial(discriminator, by_clip, dtype), 0)
        self.weight = weight

    def construct(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        penalty = gradient_penalty(self.gradient(clip))
        return self.weight * penalty, penalty


class SquaredNorms(nn.Cell):
    """(clip, reconstruction, weights of terms) -> (2,): of the gradients of objective and discriminator.

    Of the terms that judge the reconstruction, and of the adversarial term, both by the reconstruction.
    """

    def __init__(self, objective: Objective, adversarial: Adversarial):
        super().__init__(auto_prefix=False)
        self.of_objective = ops.grad(_ByReconstruction(objective), 0)
        self.of_discriminator = ops.grad(adversarial, 0)

    def construct(self, clip: Tensor, recon: Tensor, weights: Tensor) -> Tensor:
        own, judged = self.of_objective(recon, clip, weights), self.of_discriminator(recon)
        return ops.stack([(own * own).sum(), (judged * judged).sum()])


class _ByReconstruction(nn.Cell):
    def __init__(self, objective: Objective):
        super().__init__(auto_prefix=False)
        self.objective = objective

    def construct(self, recon: Tensor, clip: Tensor, weights: Tensor) -> Tensor:
        return self.objective.of_reconstruction(recon, clip, weights)


class AdaptiveWeight(nn.Cell):
    """(squared norms of each micro batch) -> the ratio that disc_weight is multiplied by, a scalar.

    VQGAN's ratio of gradient norms (arXiv 2012.09841), here with respect to the reconstruction itself: no pass through
    the decoder is needed.
    """

    def __init__(self, limit: float, ranks: int):
        super().__init__(auto_prefix=False)
        self.limit = limit
        self.average = Average(ranks)

    def construct(self, *squares: Tensor) -> Tensor:
        (both,) = self.average((ops.stack(squares).sum(0),))
        norms = ops.sqrt(both) / len(squares)  # a micro batch's gradients are of means over fewer clips
        return adaptive_weight(norms[0], norms[1], self.limit)


class Adversary:
    """A discriminator at work: what it learns in a step, and what weight the model gives to it.

    The micro batches of a step are one batch: gradients, LeCAM's means and the norms of the adaptive weight are those
    of all of them.
    discriminator: its parameters are named "discriminator.*"; they are updated by `update`. dtype: what it computes in.
    """

    def __init__(
        self,
        config: AdversarialConfig,
        discriminator: nn.Cell,
        objective: Objective,
        update: Update,
        dtype,
        micro_batches: int,
        ranks: int,
    ):
        self.config, self.discriminator, self.update = config, discriminator, update
        self.trained, share = ParameterTuple(discriminator.trainable_params()), 1.0 / micro_batches
        self.running = RunningMeans(config.lecam_decay, ranks)
        loss, sums = DiscriminatorLoss(discriminator, config, dtype, ranks), sums_for(self.trained)
        self.add = Accumulate(DiscriminatorGradients(loss, self.trained, self.running), sums, share)
        self.add_r1 = Accumulate(R1Gradients(discriminator, self.trained, config.r1_weight, dtype), sums, share)
        self.finish = UpdateFromSums(sums, update)
        adversarial = Adversarial(discriminator, LOSSES[config.disc_loss][1], dtype)
        self.squared_norms = SquaredNorms(objective, adversarial)
        self.ratio = AdaptiveWeight(config.disc_weight_limit, ranks)

    def takes_part(self, number: int) -> bool:
        """Whether it learns, and is heard, at a step, which counts from 0."""
        return number >= self.config.disc_start

    def require(self, shape: tuple[int, int, int]) -> None:
        """Raise InputError for clips of (T, H, W) that the discriminator is not made for; most take any."""
        _, *made_for = getattr(self.discriminator, "shape", (3, None, None, None))
        if any(own not in (None, given) for own, given in zip(made_for, shape)):
            frames, height, width = made_for
            raise InputError(
                f"disc_kind={self.config.disc_kind} is made for {'any number of' if frames is None else frames} frames "
                f"of {width}x{height}, but a clip has {shape[0]} of {shape[2]}x{shape[1]}; train on clips of one size "
                "and length, or take another disc_kind"
            )

    def weight(self, ratio: float) -> float:
        """Of the adversarial term. ratio: what `learn` gave at the step before; 0 at first."""
        return self.config.disc_weight * (ratio if self.config.disc_weight_mode == "adaptive" else 1.0)

    def learn(self, number: int, pairs: Pairs, weights: Tensor, rate: Tensor) -> tuple[dict[str, float], float]:
        """Its part of a step: (figures to be logged, ratio for the next adversarial weight).

        weights: of the objective's terms.
        """
        losses, means = zip(*[self.add(*pair) for pair in pairs])
        figures = {"discriminator": mean_of(losses)}
        if self.config.r1_weight > 0 and number % self.config.r1_interval == 0:
            figures["r1"] = mean_of([self.add_r1(clip) for clip, _ in pairs])
        self.finish(rate)
        if self.config.lecam_weight > 0:
            self.running(*means)
        if self.config.disc_weight_mode == "constant":
            return figures, 1.0
        squares = [self.squared_norms(clip, recon, weights) for clip, recon in pairs]
        return figures, float(self.ratio(*squares).asnumpy())

    def parameters(self) -> Iterator[Parameter]:
        """All that a checkpoint holds of it; its loss scale, which stays 1, always was among it."""
        for cell in (self.discriminator, self.update.optimizer, self.update.loss_scale, self.running):
            yield from cell.get_parameters()

    @property
    def cells(self) -> tuple[nn.Cell, ...]:
        """What graphs are compiled of."""
        return self.add, self.add_r1, self.finish, self.running, self.squared_norms, self.ratio


def mean_of(numbers: Sequence[Tensor]) -> float:
    """The mean of scalars, on the host."""
    return sum(float(number.asnumpy()) / len(numbers) for number in numbers)
