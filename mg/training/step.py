"""One optimizer step, as compiled graphs: gradients, their mean over ranks, a check, clipping, update, EMA.

A step whose gradients are not finite changes nothing but the loss scale. No step depends on a value read by the host.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import initializer

from mg.distributed import average_gradients
from mg.losses.objective import Objective
from mg.training.optimizer import sum_of_squares

_SMALLEST_SCALE = 1.0
_LARGEST_SCALE = 2.0**24

# Mapped over the parameters: a Python loop over 300 of them compiles several times as long.
_unscaled = ops.MultitypeFuncGraph("unscaled")
_square = ops.MultitypeFuncGraph("square")
_shortened = ops.MultitypeFuncGraph("shortened")
_added = ops.MultitypeFuncGraph("added")
_taken = ops.MultitypeFuncGraph("taken")
_cleared = ops.MultitypeFuncGraph("cleared")


@_unscaled.register("Tensor", "Tensor")
def _unscale_one(factor, gradient):
    return gradient.astype(mstype.float32) * factor  # a division would keep an index of 16 bytes an element on a CPU


@_square.register("Tensor")
def _square_one(gradient):
    return sum_of_squares(gradient)


@_shortened.register("Tensor", "Tensor")
def _shorten_one(factor, gradient):
    finite = ops.select(ops.isfinite(gradient), gradient, ops.zeros_like(gradient))
    return finite * factor


@_added.register("Number", "Tensor", "Tensor")
def _add_one(share, total, gradient):
    return ops.assign_add(total, gradient * share)


@_cleared.register("Tensor")
def _clear_one(total):
    return ops.assign(total, ops.zeros_like(total))


@_taken.register("Tensor")
def _take_one(total):
    return total * 1.0


class LossScale(nn.Cell):
    """What the loss is multiplied by so that fp16 gradients do not vanish: halved on overflow, doubled after a while.

    interval: finite steps before it doubles; 0 keeps it as it is.  Micikevicius et al. (arXiv 1710.03740).
    """

    def __init__(self, start: float, interval: int):
        super().__init__(auto_prefix=False)
        self.interval = interval
        self.scale = Parameter(Tensor(start, mstype.float32), name="loss_scale.scale", requires_grad=False)
        self.good_steps = Parameter(Tensor(0.0, mstype.float32), name="loss_scale.good_steps", requires_grad=False)

    def construct(self, keep: Tensor) -> Tensor:
        if self.interval:
            good = (self.good_steps + 1.0) * keep
            grow = (good >= self.interval).astype(mstype.float32)
            scale = self.scale * (1.0 + grow) * (0.5 + 0.5 * keep)
            ops.assign(self.scale, ops.clamp(scale, _SMALLEST_SCALE, _LARGEST_SCALE))
            ops.assign(self.good_steps, good * (1.0 - grow))
        return keep


class Loss(nn.Cell):
    """(scale, weights, adversarial weight, clip, *noises) -> (scaled total, results).

    results: figures, what is judged and, where there is something to count, that.
    weights: `Objective.weights_at` of the step. noises: as `forward` takes them. (In a tuple they would be constants.)
    figures: the total and the unweighted terms, one fp32 vector; `names` says what they are.
    adversarial: (reconstruction) -> the adversarial term, or None without; nothing in it is trained here.
    What is judged is the reconstruction where there is an adversary; else the figures, so that a reconstruction that
    no term looks at is not computed. counted: the output of `forward` that is handed out besides, or None.
    """

    def __init__(
        self,
        forward: nn.Cell,
        objective: Objective,
        adversarial: nn.Cell | None = None,
        counted: str | None = None,
    ):
        super().__init__(auto_prefix=False)
        self.forward = forward
        self.objective = objective
        self.adversarial = adversarial
        self.counted = counted
        self.names = ("total", *objective.names, *(() if adversarial is None else ("adversarial",)))

    def construct(self, scale: Tensor, weights: Tensor, adversarial_weight: Tensor, clip: Tensor, *noises: Tensor):
        outputs = self.forward(clip, *noises)
        total, terms = self.objective(outputs, clip, weights)
        figures = [terms[name] for name in self.objective.names]
        if self.adversarial is not None:
            figures.append(self.adversarial(outputs["reconstruction"]))
            total = total + adversarial_weight * figures[-1]
        figures = ops.stack([total, *figures])
        results = (figures, figures if self.adversarial is None else outputs["reconstruction"])
        if self.counted is not None:
            results = (*results, outputs[self.counted])
        return total * scale, results


class Gradients(nn.Cell):
    """(weights, adversarial weight, clip, *noises) -> results of `Loss`, fp32 gradients of what is trained."""

    def __init__(self, loss: Loss, trained: Sequence[Parameter], loss_scale: LossScale):
        super().__init__(auto_prefix=False)
        self.loss = loss
        self.each = ops.HyperMap()
        self.trained = ParameterTuple(trained)
        self.loss_scale = loss_scale
        self.value_and_grad = ops.value_and_grad(loss, None, self.trained, True)

    def construct(self, *inputs: Tensor):
        scale = self.loss_scale.scale
        (_, results), gradients = self.value_and_grad(scale, *inputs)
        return results, self.each(ops.partial(_unscaled, 1.0 / scale), gradients)


class Update(nn.Cell):
    """(gradients, learning rate) -> (norm of the gradients, 1 if the step was taken or 0 if it was not finite).

    max_grad_norm: longer gradients are shortened to it, all together; 0 leaves them.
    """

    def __init__(
        self, optimizer: nn.Cell, ema: nn.Cell | None, loss_scale: LossScale, ranks: int, max_grad_norm: float
    ):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer
        self.ema = ema
        self.loss_scale = loss_scale
        self.average = average_gradients(optimizer.weights, ranks)
        self.max_grad_norm = max_grad_norm
        self.each = ops.HyperMap()

    def construct(self, gradients: tuple[Tensor, ...], learning_rate: Tensor) -> tuple[Tensor, Tensor]:
        gradients = self.average(gradients)
        norm = ops.sqrt(ops.addn(self.each(_square, gradients)))
        keep = ops.isfinite(norm).astype(mstype.float32)
        gradients = self.each(ops.partial(_shortened, self.shortening(norm)), gradients)
        keep = self.optimizer(gradients, learning_rate, keep)
        if self.ema is not None:
            keep = self.ema(keep)
        return norm, self.loss_scale(keep)

    def shortening(self, norm: Tensor) -> Tensor:
        """What gradients are multiplied by; 1 where the norm is not finite, since nothing is kept then."""
        finite = ops.isfinite(norm)
        norm = ops.select(finite, norm, ops.zeros_like(norm))
        if self.max_grad_norm == 0:
            return ops.ones_like(norm)
        return ops.clamp(self.max_grad_norm / (norm + 1e-6), 0.0, 1.0)


class Whole(nn.Cell):
    """(learning rate, what `gradients` takes) -> its results, (norm, kept): gradients and update in one graph."""

    def __init__(self, gradients: nn.Cell, update: Update):
        super().__init__(auto_prefix=False)
        self.gradients = gradients
        self.update = update

    def construct(self, learning_rate: Tensor, *inputs: Tensor):
        results, gradients = self.gradients(*inputs)
        return results, self.update(gradients, learning_rate)


class Accumulate(nn.Cell):
    """(what `gradients` takes) -> its results; adds its gradients times `share` to `sums`, for `UpdateFromSums`."""

    def __init__(self, gradients: nn.Cell, sums: ParameterTuple, share: float):
        super().__init__(auto_prefix=False)
        self.gradients = gradients
        self.each = ops.HyperMap()
        self.share = share
        self.sums = sums

    def construct(self, *inputs: Tensor):
        results, gradients = self.gradients(*inputs)
        self.each(ops.partial(_added, self.share), self.sums, gradients)
        return results


class UpdateFromSums(nn.Cell):
    """(learning rate) -> (norm, kept): the update of what `Accumulate` has summed; the sums are then zero again."""

    def __init__(self, sums: ParameterTuple, update: Update):
        super().__init__(auto_prefix=False)
        self.sums = sums
        self.update = update
        self.each = ops.HyperMap()

    def construct(self, learning_rate: Tensor) -> tuple[Tensor, Tensor]:
        norm, keep = self.update(self.each(_taken, self.sums), learning_rate)
        self.each(_cleared, self.sums)
        return norm, keep


def sums_for(parameters: Sequence[Parameter]) -> ParameterTuple:
    """Zeros for the gradients of each parameter."""
    return ParameterTuple(
        [
            Parameter(initializer("zeros", p.shape, mstype.float32), name=f"sum.{p.name}", requires_grad=False)
            for p in parameters
        ]
    )
