"""A model of one parameter and a discriminator of two layers, whose graphs compile in a second."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
from conftest import random_clip
from mindspore import Parameter, Tensor, nn, ops

from mg.losses.adversarial import LOSSES
from mg.losses.objective import Objective, objective_config
from mg.models.layers.conv import SpatialConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.terms import Facts, Term
from mg.training.config import AdversarialConfig
from mg.training.discriminate import Adversarial, Adversary
from mg.training.ema import Ema
from mg.training.learn import Batch, Rates
from mg.training.optimizer import SGD
from mg.training.step import Gradients, Loss, LossScale, Update

RATES = Rates(1e-3, 0.1)


def distance(clip, noise):
    return ((clip - noise) * (clip - noise)).mean()


# A term of the family's own, which looks at an output that no other family has.
DISTANCE = Term("distance", ("clip", "noise"), "squares", function=distance)


class Forward(nn.Cell):
    """gain * clip + sum of noise_k / 10^k."""

    outputs = ("reconstruction", "noise")

    def __init__(self, noises=0):
        super().__init__(auto_prefix=False)
        self.noises = noises
        self.gain = Parameter(Tensor(np.array([0.5], np.float32)), name="gain")

    def construct(self, clip, *noises):
        total, factor = ops.zeros_like(clip), 1.0
        for noise in noises:
            total = total + factor * noise
            factor = factor / 10
        return {"reconstruction": self.gain * clip + total, "noise": total}

    def noise_shapes(self, clip):
        return tuple((clip[0], *clip[1:]) for _ in range(self.noises))


class Discriminator(nn.Cell):
    """Two convolutions with something smooth between."""

    def __init__(self):
        super().__init__()
        self.first = SpatialConv(3, 4)
        self.last = SpatialConv(4, 1)

    def construct(self, clip):
        return channels_first(self.last(ops.tanh(self.first(frames_first(clip)))))


def update_of(parameters, ema=None):
    rules = [1.0] * len(parameters), [0.0] * len(parameters)
    return Update(SGD(parameters, *rules), ema, LossScale(1.0, 0), 1, 0.0)


def adversary_of(objective, micro_batches=1, **settings):
    np.random.seed(0)
    discriminator = Discriminator()
    discriminator.update_parameters_name("discriminator.")
    config = AdversarialConfig(**{"disc_weight": 0.5, **settings})
    update = update_of(discriminator.trainable_params())
    return Adversary(config, discriminator, objective, update, ms.float32, micro_batches, 1)


def parts_of(noises=0, micro_batches=1, weights=None, **adversarial):
    """What `Learner` takes. weights: of the objective; adversarial: settings of a discriminator, if there are some."""
    config = objective_config((DISTANCE,))(**{"perceptual_weight": 0.0, "kl_weight": 0.0, **(weights or {})})
    forward = Forward(noises)
    objective = Objective(config, forward.outputs, Facts())
    adversary = adversary_of(objective, micro_batches, **adversarial) if adversarial else None
    heard = None
    if adversary:
        heard = Adversarial(adversary.discriminator, LOSSES[adversary.config.disc_loss][1], ms.float32)
    loss = Loss(forward, objective, heard)
    gradients = Gradients(loss, [forward.gain], LossScale(1.0, 0))
    update = update_of([forward.gain], Ema([forward.gain], 0.5))
    return SimpleNamespace(
        forward=forward, objective=objective, adversary=adversary, loss=loss, gradients=gradients, update=update
    )


def batch_of(count, noises=0, seed=0):
    """Clips of three frames of 6x5, with noises."""
    shape = (count, 3, 3, 6, 5)
    return Batch(random_clip(*shape, seed=seed), tuple(random_clip(*shape, seed=seed + 1 + n) for n in range(noises)))


def singles(batch):
    """The clips of a batch, as batches of one."""
    return [
        Batch(batch.clip[i : i + 1], tuple(noise[i : i + 1] for noise in batch.noises))
        for i in range(batch.clip.shape[0])
    ]
