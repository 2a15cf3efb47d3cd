"""One optimizer step of model and discriminator, as the host sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mg.data.plan import NOISE, Share
from mg.evaluation.codebook import CodeUse
from mg.training.build import Parts
from mg.training.config import TrainingConfig
from mg.training.recipe import Recipe
from mg.training.schedule import learning_rate
from mg.training.step import Accumulate, UpdateFromSums, Whole, sums_for


@dataclass(frozen=True)
class Batch:
    """A micro batch: clips (B, 3, T, H, W) in [-1, 1], and noises of the forward's `noise_shapes`."""

    clip: Tensor
    noises: tuple[Tensor, ...]


@dataclass(frozen=True)
class Rates:
    """Learning rates of a step."""

    model: float
    discriminator: float


class Learner:
    """Takes steps. The micro batches of a step are one batch, for the model and for the discriminator."""

    def __init__(self, parts: Parts, micro_batches: int = 1):
        self.parts, self.adversary = parts, parts.adversary
        if micro_batches == 1:
            self.whole, self.add, self.finish = Whole(parts.gradients, parts.update), None, None
        else:
            sums = sums_for(parts.gradients.trained)
            self.add = Accumulate(parts.gradients, sums, 1.0 / micro_batches)
            self.whole, self.finish = None, UpdateFromSums(sums, parts.update)

    def step(
        self, number: int, batches: Sequence[Batch], rates: Rates, ratio: float = 0.0
    ) -> tuple[dict[str, float], float]:
        """Take a step: (figures to be logged, the ratio for the next one's adversarial weight).

        number: of the step, from 0. ratio: what the step before returned, 0 at first.
        figures: "total" and the unweighted terms, averaged over micro batches; "grad_norm"; "kept", which is 0 for a
        step that was not finite and changed nothing; the discriminator's; and, of latents that are codes, how many
        different ones the clips of this rank have and how evenly they are used.
        """
        weights = self.parts.objective.weights_at(number)
        judged = self.adversary is not None and self.adversary.takes_part(number)
        weight = _scalar(self.adversary.weight(ratio) if judged else 0.0)
        results, (norm, kept) = self._update(batches, weights, weight, _scalar(rates.model))
        vectors, recons, *counted = zip(*results)
        figures = self._by_name(vectors)
        for outputs in counted:
            figures.update(self._use_of_codes(outputs))
        if judged:
            pairs = [(batch.clip, recon) for batch, recon in zip(batches, recons)]
            of_adversary, ratio = self.adversary.learn(number, pairs, weights, _scalar(rates.discriminator))
            figures.update(of_adversary, adversarial_weight=float(weight.asnumpy()))
        return {**figures, "grad_norm": float(norm.asnumpy()), "kept": float(kept.asnumpy())}, ratio

    def _update(self, batches: Sequence[Batch], weights: Tensor, weight: Tensor, rate: Tensor):
        """Results of each micro batch, and (norm, kept) of the model's update."""
        inputs = [(weights, weight, batch.clip, *batch.noises) for batch in batches]
        if self.whole is not None:
            results, taken = self.whole(rate, *inputs[0])
            return [results], taken
        results = [self.add(*given) for given in inputs]
        return results, self.finish(rate)

    def _by_name(self, vectors: Sequence[Tensor]) -> dict[str, float]:
        """Figures of the micro batches as means."""
        sums = dict.fromkeys(self.parts.loss.names, 0.0)
        for vector in vectors:
            for name, value in zip(sums, vector.asnumpy().tolist()):
                sums[name] += value / len(vectors)
        return sums

    def _use_of_codes(self, outputs: Sequence[Tensor]) -> dict[str, float]:
        """Figures of the codes of all micro batches."""
        use, latents = CodeUse(), self.parts.model.latents
        for output in outputs:
            use.add(latents.integers(output.asnumpy()))
        figures = use.figures(latents.vocabulary)
        return {f"codes_{name}": figures[name] for name in ("distinct", "perplexity", "least_even_bit")}

    @property
    def cells(self) -> tuple[nn.Cell, ...]:
        """What graphs are compiled of."""
        own = (cell for cell in (self.whole, self.add, self.finish) if cell is not None)
        return (*own, *(() if self.adversary is None else self.adversary.cells))

    @property
    def graphs(self) -> int:
        """How many graphs were compiled so far."""
        return sum(len(cell.compile_cache) for cell in self.cells)


class Draw:
    """Noises of a training: a function of seed, step and a clip's place among all clips of the step.

    So it is the same whatever the number of ranks.
    """

    def __init__(self, forward: nn.Cell, seed: int, share: Share):
        self.forward, self.seed, self.share = forward, seed, share

    def batches(self, number: int, clips: Sequence[np.ndarray]) -> list[Batch]:
        """The micro batches (B, 3, T, H, W) of step `number` of this rank, with their noises."""
        starts = zip(clips, self.share.starts(0))
        return [Batch(Tensor(clip), self._noises(number, start, clip.shape)) for clip, start in starts]

    def _noises(self, number: int, start: int, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Of clips of this shape, the first of which has the place `start`."""
        noises = []
        for which, (batch, *of_clip) in enumerate(self.forward.noise_shapes(shape)):
            own = [which] if which else []  # the first has no number: it is what a model of one noise always got
            seeds = ([self.seed, NOISE, number, start + index, *own] for index in range(batch))
            drawn = [np.random.default_rng(seed).standard_normal(of_clip, np.float32) for seed in seeds]
            noises.append(Tensor(np.stack(drawn)))
        return tuple(noises)


def rates_at(number: int, recipe: Recipe) -> Rates:
    """Learning rates of a step, from 0."""
    bases = recipe.training.learning_rate, recipe.adversarial.disc_learning_rate
    return Rates(*(_rate(number, base, recipe.training) for base in bases))


def _rate(number: int, base: float, training: TrainingConfig) -> float:
    course = training.warmup_steps, training.schedule, training.final_learning_rate_share
    return learning_rate(number, base, training.max_steps, *course)


def _scalar(value: float) -> Tensor:
    return Tensor(value, mstype.float32)
