"""What a training run is built of: model, objective, optimizers, and the graphs that join them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from pathlib import Path

import mindspore as ms
from mindspore import Parameter, nn
from mindspore import dtype as mstype

from mg import runtime
from mg.config import read_recipe
from mg.errors import InputError
from mg.losses.adversarial import LOSSES
from mg.losses.objective import Objective, facts_of
from mg.models import families, weights
from mg.models.autoencoder import Autoencoder
from mg.models.discriminators import DISCRIMINATORS
from mg.training.config import TrainingConfig
from mg.training.discriminate import Adversarial, Adversary
from mg.training.ema import Ema
from mg.training.optimizer import make_optimizer, parameter_rules
from mg.training.recipe import Recipe
from mg.training.step import Gradients, Loss, LossScale, Update

logger = logging.getLogger(__name__)


class Parts:
    """What a recipe describes, before its first step.

    model, forward, objective; gradients and update of the model; adversary, or None; loss_scale; ema, or None; and
    `tensors`: every parameter that a checkpoint holds, by name.
    """

    def __init__(self, recipe: Recipe, ranks: int = 1):
        training = recipe.training
        ms.set_seed(training.seed)
        self.model = _model(training)
        self.forward = self.model.training_forward()
        self.objective = Objective(recipe.objective, self.forward.outputs, facts_of(self.model, ranks))
        if training.recompute:
            _recompute(self.model.recompute_levels(), training.recompute_levels)
        named = weights.named_parameters(self.model)
        trained = _trained(named, training, self.model)
        self.loss_scale = _loss_scale(training, self.model.compute_dtype)
        rules = parameter_rules(
            trained, training.weight_decay, training.temporal_learning_rate_multiplier, self.model.is_added
        )
        optimizer = make_optimizer(training.optimizer, trained, rules, training.betas)
        self.ema = Ema(trained, training.ema_decay) if training.ema_decay else None
        self.adversary = None
        if recipe.adversarial.disc_weight > 0:
            self.adversary = _adversary(recipe, self.objective, self.model.compute_dtype, ranks)
        heard = _heard(self.adversary, self.model.compute_dtype)
        self.loss = Loss(self.forward, self.objective, heard, self.model.latents.counted)
        self.gradients = Gradients(self.loss, trained, self.loss_scale)
        self.update = Update(optimizer, self.ema, self.loss_scale, ranks, training.max_grad_norm)
        self.tensors = self._tensors(named)

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the model has the weights that are validated and saved: the averages, if there are some."""
        return self.ema.swapped() if self.ema else nullcontext()

    def _tensors(self, named: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """The model's parameters by their structural names; what else there is by its own, after what holds it."""
        tensors = {f"model.{name}": parameter for name, parameter in named.items()}
        known = {id(parameter) for parameter in named.values()}
        for cell in (self.update.optimizer, self.loss_scale, self.ema):
            for parameter in () if cell is None else cell.get_parameters():
                if id(parameter) not in known:
                    tensors[parameter.name] = parameter
        for parameter in () if self.adversary is None else self.adversary.parameters():
            tensors[f"adversarial.{parameter.name}"] = parameter
        return tensors


def _model(training: TrainingConfig) -> Autoencoder:
    config = None if training.model_config is None else read_recipe(training.model_config)
    if training.ckpt_path is None:
        return families.build(training.model, config, training.dtype)
    model = families.load(training.ckpt_path, training.dtype, family=training.model, config=config)
    logger.info("starts from %s", _told(Path(training.ckpt_path)))
    return model


def _told(weights_path: Path) -> str:
    """A file of weights, and the stage that gave it, if it lies in a run folder."""
    recipe = weights_path.with_name("config.yaml")
    if not (recipe.is_file() and weights_path.with_name("metrics.jsonl").is_file()):
        return str(weights_path)
    return f"{weights_path}, which the training '{recipe.parent}' gave: its recipe is {recipe}"


def _adversary(recipe: Recipe, objective: Objective, dtype: ms.Type, ranks: int) -> Adversary:
    training, config = recipe.training, recipe.adversarial
    if config.disc_weight_mode == "adaptive" and not objective.by_reconstruction:
        raise InputError(
            "disc_weight_mode=adaptive is measured by the terms that judge the reconstruction, but all are off; "
            "set reconstruction_weight above 0, or disc_weight_mode: constant"
        )
    if config.r1_weight > 0 and not runtime.in_graph_mode():
        raise InputError(
            f"r1_weight={config.r1_weight} does nothing in mode pynative, where MindSpore loses the gradient of a "
            "gradient; train with mode: graph, or set r1_weight: 0"
        )
    discriminator = DISCRIMINATORS[config.disc_kind](config.disc_channels, recipe.clip_shape).set_train()
    discriminator.update_parameters_name("discriminator.")
    parameters = discriminator.trainable_params()
    # There is no loss scale for it, so it computes in fp32 where fp16 would let its gradients vanish.
    dtype = mstype.float32 if dtype == ms.float16 else dtype
    rules = parameter_rules(parameters, 0.0, 1.0, lambda name: False)
    optimizer = make_optimizer(config.disc_optimizer, parameters, rules, config.disc_betas)
    update = Update(optimizer, None, LossScale(1.0, 0), ranks, training.max_grad_norm)
    count = training.gradient_accumulation_steps
    adversary = Adversary(config, discriminator, objective, update, dtype, count, ranks)
    for shape in recipe.data.shapes:
        adversary.require(shape)
    return adversary


def _heard(adversary: Adversary | None, dtype: ms.Type) -> Adversarial | None:
    """The adversarial term as the model sees it: in the type that it computes in, under its loss scale."""
    if adversary is None:
        return None
    return Adversarial(adversary.discriminator, LOSSES[adversary.config.disc_loss][1], dtype)


def _loss_scale(training: TrainingConfig, dtype: ms.Type) -> LossScale:
    return LossScale(*((training.loss_scale, training.loss_scale_interval) if dtype == ms.float16 else (1.0, 0)))


def _trained(named: Mapping[str, Parameter], training: TrainingConfig, model: Autoencoder) -> list[Parameter]:
    """The parameters that are not frozen; the others no longer require a gradient."""
    unused = [pattern for pattern in training.freeze if not any(fnmatchcase(name, pattern) for name in named)]
    if unused:
        raise InputError(f"freeze={unused[0]!r} matches no parameter; the first is {next(iter(named))}")
    for name, parameter in named.items():
        frozen = any(fnmatchcase(name, pattern) for pattern in training.freeze)
        parameter.requires_grad = not (frozen or (training.freeze_spatial and not model.is_added(name)))
    trained = [parameter for parameter in named.values() if parameter.requires_grad]
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
