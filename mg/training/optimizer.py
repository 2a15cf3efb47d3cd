"""Updates of the weights: AdamW and plain gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype


class AdamW(nn.Cell):
    """Adam with bias correction and decoupled weight decay.  Loshchilov and Hutter, arXiv 1711.05101, algorithm 2.

    parameters: fp32. multipliers, decays: for each, the factor of the learning rate and the weight decay, which is
    multiplied by the rate too. State: Parameters "adamw.m.<name>", "adamw.v.<name>" and "adamw.steps", without
    gradients; whoever holds this cell is made with auto_prefix=False, or these and the model's names change.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        multipliers: Sequence[float],
        decays: Sequence[float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(parameters)
        self.means = _state("adamw.m", parameters)
        self.squares = _state("adamw.v", parameters)
        self.steps = Parameter(Tensor(0.0, mstype.float32), name="adamw.steps", requires_grad=False)
        self.rules = _paired(parameters, multipliers, decays)
        self.shares = tuple(1.0 - beta for beta in betas)
        self.logs = tuple(math.log(beta) for beta in betas)
        self.eps = eps

    def construct(self, gradients: tuple[Tensor, ...], learning_rate: Tensor, keep: Tensor) -> Tensor:
        """One step.  gradients: finite, fp32, like the parameters; learning_rate: fp32 scalar; keep: fp32 scalar, 1,
        or 0 to change nothing.  Returns keep, to depend on.
        """
        count = self.steps + 1.0
        mean_share, square_share = keep * self.shares[0], keep * self.shares[1]
        # 1 - beta ** count, without the cancellation that costs four digits in the first steps
        rate = keep * learning_rate / -ops.expm1(count * self.logs[0])
        root_scale = ops.rsqrt(-ops.expm1(count * self.logs[1]))
        shrink = keep * learning_rate
        for i, (multiplier, decay) in enumerate(self.rules):
            weight, mean, square = self.weights[i], self.means[i], self.squares[i]
            gradient = gradients[i] * keep  # a large one's square would be infinite, and times 0 not a number
            new_mean = mean + mean_share * (gradient - mean)
            new_square = square + square_share * (gradient * gradient - square)
            change = (rate * multiplier) * (new_mean / (ops.sqrt(new_square) * root_scale + self.eps))
            if decay > 0:
                change = change + (shrink * (multiplier * decay)) * weight
            ops.assign(mean, new_mean)
            ops.assign(square, new_square)
            ops.assign(weight, weight - change)
        ops.assign(self.steps, self.steps + keep)
        return keep


class SGD(nn.Cell):
    """Plain gradient descent, without state: weight -= rate * (gradient + decay * weight). Arguments as in AdamW."""

    def __init__(self, parameters: Sequence[Parameter], multipliers: Sequence[float], decays: Sequence[float]):
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(parameters)
        self.rules = _paired(parameters, multipliers, decays)

    def construct(self, gradients: tuple[Tensor, ...], learning_rate: Tensor, keep: Tensor) -> Tensor:
        """One step, as in AdamW."""
        rate = keep * learning_rate
        for i, (multiplier, decay) in enumerate(self.rules):
            weight = self.weights[i]
            change = (rate * multiplier) * gradients[i]
            if decay > 0:
                change = change + (rate * (multiplier * decay)) * weight
            ops.assign(weight, weight - change)
        return keep


def parameter_rules(
    parameters: Sequence[Parameter],
    weight_decay: float,
    temporal_multiplier: float,
    is_temporal: Callable[[str], bool],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Multiplier of the rate and weight decay of each parameter.

    Parameters that `is_temporal` knows by name get temporal_multiplier, others 1. Norms and biases, which are those of
    one axis, do not decay.
    """
    multipliers = tuple(float(temporal_multiplier) if is_temporal(p.name) else 1.0 for p in parameters)
    decays = tuple(float(weight_decay) if len(p.shape) > 1 else 0.0 for p in parameters)
    return multipliers, decays


def _state(prefix: str, parameters: Sequence[Parameter]) -> ParameterTuple:
    """Zeros like the parameters."""
    return ParameterTuple(
        [Parameter(ops.zeros(p.shape, mstype.float32), name=f"{prefix}.{p.name}", requires_grad=False) for p in parameters]
    )


def _paired(parameters: Sequence, multipliers: Sequence[float], decays: Sequence[float]) -> tuple:
    if not len(parameters) == len(multipliers) == len(decays):
        raise ValueError(f"{len(parameters)} parameters, {len(multipliers)} multipliers and {len(decays)} decays")
    return tuple(zip(map(float, multipliers), map(float, decays)))
