"""What a training run is built of: model, objective, optimizers, and the graphs that join them."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import mindspore as ms
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype

from mg import runtime
from mg.config import read_recipe
from mg.errors import InputError
from mg.models.discriminators import DISCRIMINATORS
from mg.losses.objective import Figures, Objective, ObjectiveConfig
from mg.models import weights
from mg.models.families import FAMILIES, Family
from mg.training.discriminate import Balance, DiscriminatorLoss, DiscriminatorStep
from mg.training.config import TrainingConfig
from mg.training.ema import Ema
from mg.training.optimizer import SGD, AdamW, Muon, parameter_rules
from mg.training.checkpoint import Progress
from mg.training.step import Accumulate, Gradients, Loss, LossScale, TrainStep, Update, UpdateFromSums


class Parts:
    """model, objective, ema (or None), and `tensors`: every parameter that a checkpoint holds, by name."""

    def __init__(self, training: TrainingConfig, objective: ObjectiveConfig, ranks: int):
        ms.set_seed(training.seed)
        family = FAMILIES[training.model]
        self.training, self.adversarial = training, objective
        config = None if training.model_config is None else read_recipe(training.model_config)
        self.model = family.build(config, training.ckpt_path, training.dtype)
        dtype = runtime.compute_dtype(training.dtype)
        self.forward = family.forward(self.model)
        self.objective = Objective(objective, self.model.time_compression, dtype)
        self.figures = Figures(self.objective)
        if training.recompute:
            _recompute(family.blocks(self.model), training.recompute_levels)
        named = weights.named_parameters(self.model)
        trained = _trained(named, training, family)
        self.loss_scale = LossScale(
            *((training.loss_scale, training.loss_scale_interval) if dtype == ms.float16 else (1.0, 0))
        )
        rules = parameter_rules(
            [named[name] for name in trained],
            training.weight_decay,
            training.temporal_learning_rate_multiplier,
            family.is_temporal,
        )
        self.optimizer = _optimizer(training.optimizer, [named[name] for name in trained], rules)
        self.ema = Ema([named[name] for name in trained], training.ema_decay) if training.ema_decay else None
        self._discriminate(objective, ranks, dtype)
        loss = Loss(self.forward, self.objective, self.discriminator)
        self.names = loss.names
        gradients = Gradients(loss, [named[name] for name in trained], self.loss_scale)
        update = Update(self.optimizer, self.ema, self.loss_scale, ranks, training.max_grad_norm)
        self.accumulate = None
        if training.gradient_accumulation_steps > 1:
            self.accumulate = Accumulate(gradients, training.gradient_accumulation_steps)
            self.step = UpdateFromSums(self.accumulate, update)
        else:
            self.step = TrainStep(gradients, update)
        self.tensors = self._tensors(named)

    def _discriminate(self, objective: ObjectiveConfig, ranks: int, dtype) -> None:
        self.discriminator = self.discriminator_step = self.balance = None
        if objective.disc_weight == 0:
            return
        self.discriminator = DISCRIMINATORS[objective.disc_kind](objective.disc_channels)
        self.discriminator.update_parameters_name("discriminator.")
        parameters = self.discriminator.trainable_params()
        # There is no loss scale for it, so it computes in fp32 where fp16 would let its gradients vanish.
        dtype = mstype.float32 if dtype == ms.float16 else dtype
        loss = DiscriminatorLoss(self.discriminator, objective.lecam_weight, dtype)
        rules = parameter_rules(parameters, 0.0, 1.0, lambda name: False)
        optimizer = _optimizer("adamw", parameters, rules)
        update = Update(optimizer, None, LossScale(1.0, 0), ranks, self.training.max_grad_norm)
        self.discriminator_step = DiscriminatorStep(loss, update, ranks)
        self.balance = Balance(self.objective, self.discriminator, objective.disc_weight_limit, ranks, dtype)

    def _tensors(self, named: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """The model's parameters by their structural names; what else there is by its own, after what holds it."""
        tensors = {f"model.{name}": parameter for name, parameter in named.items()}
        known = {id(parameter) for parameter in named.values()}
        own = ((self.optimizer, ""), (self.loss_scale, ""), (self.ema, ""))
        for cell, prefix in (*own, (self.discriminator_step, "adversarial.")):
            for parameter in () if cell is None else cell.get_parameters():
                if id(parameter) not in known:
                    tensors[prefix + parameter.name] = parameter
        return tensors

    def learn(
        self, clip: Tensor, noise: Tensor, rate: float, disc_rate: float, number: int, progress: Progress
    ) -> dict[str, float]:
        """Gradients of a micro batch and, without accumulation, the update; the terms by name, and "total"."""
        judged = self.discriminator is not None and number >= self.adversarial.disc_start
        weight = _scalar(self.adversarial.disc_weight * progress.adversarial_weight if judged else 0.0)
        if self.accumulate is None:
            results, self.taken = self.step(clip, noise, weight, _scalar(rate))
        else:
            results = self.accumulate(clip, noise, weight)
        figures, recon = results
        figures = dict(zip(self.names, figures.asnumpy().tolist()))
        if judged:
            loss, _ = self.discriminator_step(clip, recon, _scalar(disc_rate))
            progress.adversarial_weight = float(self.balance(clip, recon).asnumpy())
            figures.update(discriminator=float(loss.asnumpy()), adversarial_weight=float(weight.asnumpy()))
        return figures

    def finish(self, rate: float) -> tuple[float, float]:
        """End the step: (norm of its gradients, 1 or 0 for a step that was not finite and changed nothing)."""
        if self.accumulate is not None:
            self.taken = self.step(_scalar(rate))
        norm, kept = self.taken
        return float(norm.asnumpy()), float(kept.asnumpy())

    @property
    def graphs(self) -> int:
        """How many training graphs were compiled so far."""
        cells = (self.step, self.accumulate, self.discriminator_step, self.balance)
        return sum(len(cell.compile_cache) for cell in cells if cell is not None)


def _trained(named: Mapping[str, Parameter], training: TrainingConfig, family: Family) -> list[str]:
    """Names of the parameters that are not frozen; the others no longer require a gradient."""
    unused = [pattern for pattern in training.freeze if not any(fnmatchcase(name, pattern) for name in named)]
    if unused:
        raise InputError(f"freeze={unused[0]!r} matches no parameter; the first is {next(iter(named))}")
    for name, parameter in named.items():
        frozen = any(fnmatchcase(name, pattern) for pattern in training.freeze)
        parameter.requires_grad = not (frozen or (training.freeze_spatial and not family.is_temporal(name)))
    trained = [name for name, parameter in named.items() if parameter.requires_grad]
    if not trained:
        raise InputError("freeze and freeze_spatial leave nothing to train; freeze less")
    return trained


def _recompute(levels: list[list[nn.Cell]], count: int) -> None:
    """Keep only the inputs of the blocks of the first `count` levels (0: all), and compute the rest again."""
    if count > len(levels):
        raise InputError(f"recompute_levels={count} must be at most {len(levels)}, the levels of this model, or 0")
    for level in levels[: count or len(levels)]:
        for block in level:
            block.recompute()


def _optimizer(name: str, parameters: list[Parameter], rules: tuple[list[float], list[float]]) -> nn.Cell:
    return {"adamw": AdamW, "muon": Muon, "sgd": SGD}[name](parameters, *rules)


def _scalar(value: float) -> Tensor:
    return Tensor(value, mstype.float32)
