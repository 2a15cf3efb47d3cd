"""Updates of the weights: AdamW, Muon and plain gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

_adamw = ops.MultitypeFuncGraph("adamw")  # mapped over 300 parameters it compiles in 4 s, a loop in 29 s
_muon = ops.MultitypeFuncGraph("muon")
_sgd = ops.MultitypeFuncGraph("sgd")

_QUINTIC = (3.4445, -4.775, 2.0315)  # Jordan's: singular values from 0.01 to 1 end between 0.68 and 1.13
_ROUNDS = 5
_SMALLEST = 1e-15  # what is smaller fades out; its square would be 0, and dividing by that not a number
_NO_MEMORY = -1e4  # stands for log(0): its exponential is 0
_RMS = 0.2  # of AdamW's changes, in units of the rate: Liu et al., section 2.2
_matmul, _gram_of_rows, _gram_of_columns = ops.MatMul(), ops.MatMul(transpose_b=True), ops.MatMul(transpose_a=True)


def sum_of_squares(x: Tensor) -> Tensor:
    """Of all elements, by rows first: on a CPU ten times as fast as all at once."""
    squares = x * x
    return squares.reshape(x.shape[0], -1).sum(-1).sum() if len(x.shape) > 1 else squares.sum()


def orthogonalised(matrix: Tensor) -> Tensor:
    """Nearly U V^T of the singular value decomposition U S V^T: same directions, all singular values about 1.

    matrix: (rows, columns), fp32; zeros stay zeros. Newton and Schulz's iteration with a quintic polynomial, without
    a decomposition: K. Jordan, "Muon", 2024.
    """
    linear, cubic, quintic = _QUINTIC
    rows, columns = matrix.shape
    matrix = matrix * ops.reciprocal(ops.sqrt(sum_of_squares(matrix)) + _SMALLEST)
    for _ in range(_ROUNDS):
        if rows <= columns:  # the smaller of the two products
            gram = _gram_of_rows(matrix, matrix)
            matrix = linear * matrix + _matmul(cubic * gram + quintic * _matmul(gram, gram), matrix)
        else:
            gram = _gram_of_columns(matrix, matrix)
            matrix = linear * matrix + _matmul(matrix, cubic * gram + quintic * _matmul(gram, gram))
    return matrix


@_adamw.register("Tuple", *["Number"] * 2, *["Tensor"] * 4)
def _adamw_update(step, multiplier, decay, weight, mean, square, gradient):
    keep, rate, shrink, shares, root_scale, eps = step
    gradient = gradient * keep  # a large one's square would be infinite, and that times 0 not a number
    new_mean = mean + shares[0] * (gradient - mean)
    new_square = square + shares[1] * (gradient * gradient - square)
    # not a division: its CPU kernel keeps 16 bytes for each element as long as the graph lives
    change = rate * multiplier * (new_mean * ops.reciprocal(ops.sqrt(new_square) * root_scale + eps))
    if decay > 0:
        change = change + shrink * multiplier * decay * weight
    ops.assign(mean, new_mean)
    ops.assign(square, new_square)
    return ops.assign(weight, weight - change)


@_muon.register("Tuple", *["Number"] * 2, *["Tensor"] * 3)
def _muon_update(step, multiplier, decay, weight, mean, gradient):
    keep, rate, share = step
    gradient = gradient * keep
    new_mean = mean + share * (gradient - mean)
    ahead = new_mean + share * (gradient - new_mean)  # Nesterov's
    rows = weight.shape[0]
    columns = weight.size // rows
    direction = orthogonalised(ahead.reshape((rows, columns))).reshape(weight.shape)
    change = rate * multiplier * _RMS * max(rows, columns) ** 0.5 * direction
    if decay > 0:
        change = change + rate * multiplier * decay * weight
    ops.assign(mean, new_mean)
    return ops.assign(weight, weight - change)


@_sgd.register("Tensor", *["Number"] * 2, *["Tensor"] * 2)
def _sgd_update(rate, multiplier, decay, weight, gradient):
    change = rate * multiplier * gradient
    if decay > 0:
        change = change + rate * multiplier * decay * weight
    return ops.assign(weight, weight - change)


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
        self.multipliers, self.decays = _checked(parameters, multipliers, decays)
        self.each = ops.HyperMap()
        self.shares = tuple(1.0 - beta for beta in betas)
        self.logs = tuple(math.log(beta) if beta > 0 else _NO_MEMORY for beta in betas)
        self.eps = eps

    def construct(self, gradients: tuple[Tensor, ...], learning_rate: Tensor, keep: Tensor) -> Tensor:
        """One step.  gradients: finite, fp32, like the parameters; learning_rate: fp32 scalar; keep: fp32 scalar, 1,
        or 0 to change nothing.  Returns keep, to depend on.
        """
        count = self.steps + 1.0
        # 1 - beta ** count, without the cancellation that costs four digits in the first steps
        rate = keep * learning_rate / -ops.expm1(count * self.logs[0])
        root_scale = ops.rsqrt(-ops.expm1(count * self.logs[1]))
        shares = (keep * self.shares[0], keep * self.shares[1])
        update = ops.partial(_adamw, (keep, rate, keep * learning_rate, shares, root_scale, self.eps))
        self.each(update, self.multipliers, self.decays, self.weights, self.means, self.squares, gradients)
        ops.assign(self.steps, self.steps + keep)
        return keep


class Muon(nn.Cell):
    """Momentum made orthogonal for kernels and matrices, AdamW for norms and biases.  K. Jordan, "Muon", 2024.

    A kernel (out, in, ...) is a matrix of out rows. Changes have the root mean square of AdamW's, so that the learning
    rate and the decay of AdamW fit: J. Liu et al., arXiv 2502.16982. No direction of a layer changes faster than
    others, which lets new layers learn fast between trained ones. Arguments as in AdamW; state: "muon.m.<name>" of
    kernels, AdamW's of the others.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        multipliers: Sequence[float],
        decays: Sequence[float],
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
    ):
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(parameters)
        rules = list(zip(parameters, *_checked(parameters, multipliers, decays)))
        self.kernel_places = tuple(i for i, p in enumerate(parameters) if len(p.shape) > 1)
        self.other_places = tuple(i for i, p in enumerate(parameters) if len(p.shape) <= 1)
        kernels, self.multipliers, self.decays = _columns(rules, self.kernel_places)
        self.kernels = ParameterTuple(kernels)
        self.means = _state("muon.m", kernels)
        self.adamw = AdamW(*_columns(rules, self.other_places), betas) if self.other_places else None
        self.each = ops.HyperMap()
        self.share = 1.0 - momentum

    def construct(self, gradients: tuple[Tensor, ...], learning_rate: Tensor, keep: Tensor) -> Tensor:
        """One step, as in AdamW."""
        if self.kernels:
            update = ops.partial(_muon, (keep, keep * learning_rate, keep * self.share))
            of_kernels = tuple([gradients[i] for i in self.kernel_places])
            self.each(update, self.multipliers, self.decays, self.kernels, self.means, of_kernels)
        if self.adamw is not None:
            keep = self.adamw(tuple([gradients[i] for i in self.other_places]), learning_rate, keep)
        return keep


class SGD(nn.Cell):
    """Plain gradient descent, without state: weight -= rate * (gradient + decay * weight). Arguments as in AdamW."""

    def __init__(self, parameters: Sequence[Parameter], multipliers: Sequence[float], decays: Sequence[float]):
        super().__init__(auto_prefix=False)
        self.weights = ParameterTuple(parameters)
        self.multipliers, self.decays = _checked(parameters, multipliers, decays)
        self.each = ops.HyperMap()

    def construct(self, gradients: tuple[Tensor, ...], learning_rate: Tensor, keep: Tensor) -> Tensor:
        """One step, as in AdamW."""
        update = ops.partial(_sgd, keep * learning_rate)
        self.each(update, self.multipliers, self.decays, self.weights, gradients)
        return keep


def make_optimizer(
    name: str,
    parameters: Sequence[Parameter],
    rules: tuple[Sequence[float], Sequence[float]],
    betas: tuple[float, float],
) -> AdamW | Muon | SGD:
    """The optimizer of that name. rules: multipliers and decays, of `parameter_rules`; betas: AdamW's."""
    if name == "sgd":
        return SGD(parameters, *rules)
    return {"adamw": AdamW, "muon": Muon}[name](parameters, *rules, betas)


def parameter_rules(
    parameters: Sequence[Parameter],
    weight_decay: float,
    temporal_multiplier: float,
    is_added: Callable[[str], bool],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Multiplier of the rate and weight decay of each parameter.

    Parameters that `is_added` knows by name get temporal_multiplier, others 1. Norms and biases, which are those of
    one axis, do not decay.
    """
    multipliers = tuple(float(temporal_multiplier) if is_added(p.name) else 1.0 for p in parameters)
    decays = tuple(float(weight_decay) if len(p.shape) > 1 else 0.0 for p in parameters)
    return multipliers, decays


def _state(prefix: str, parameters: Sequence[Parameter]) -> ParameterTuple:
    """Zeros like the parameters."""
    return ParameterTuple(
        [
            Parameter(ops.zeros(p.shape, mstype.float32), name=f"{prefix}.{p.name}", requires_grad=False)
            for p in parameters
        ]
    )


def _columns(rules: list[tuple], chosen: Sequence[int]) -> list[tuple]:
    """Parameters, multipliers and decays of the chosen."""
    return [tuple(rules[i][column] for i in chosen) for column in range(3)]


def _checked(parameters: Sequence, *rules: Sequence[float]) -> list[tuple[float, ...]]:
    if any(len(rule) != len(parameters) for rule in rules):
        raise ValueError(f"{len(parameters)} parameters, but {[len(rule) for rule in rules]} multipliers and decays")
    return [tuple(map(float, rule)) for rule in rules]
