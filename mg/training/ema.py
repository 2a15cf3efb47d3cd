"""A moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

_follow = ops.MultitypeFuncGraph("follow")


@_follow.register("Tensor", "Tensor", "Tensor")
def _follow_one(share, average, weight):
    return ops.assign(average, average + share * (weight - average))


class Ema(nn.Cell):
    """Averages that follow `parameters`: ema += (1 - decay) * (weight - ema), starting at the weights.

    parameters: fp32. The averages are Parameters named "ema.<name>", without gradients; whoever holds this cell is made
    with auto_prefix=False, or these and the model's names change.
    """

    def __init__(self, parameters: Sequence[Parameter], decay: float):
        super().__init__(auto_prefix=False)
        self.each = ops.HyperMap()
        self.share = 1.0 - decay
        self.weights = ParameterTuple(parameters)
        self.averages = ParameterTuple(
            [Parameter(_copy(p), name=f"ema.{p.name}", requires_grad=False) for p in parameters]
        )

    def construct(self, keep: Tensor) -> Tensor:
        """One step.  keep: fp32 scalar, 1, or 0 to change nothing.  Returns keep, to depend on."""
        self.each(ops.partial(_follow, keep * self.share), self.averages, self.weights)
        return keep

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the model has the averages as its weights; afterwards its own again, bit by bit."""
        kept = [_copy(weight) for weight in self.weights]
        try:
            for weight, average in zip(self.weights, self.averages):
                weight.set_data(_copy(average))
            yield
        finally:
            for weight, value in zip(self.weights, kept):
                weight.set_data(value)


def _copy(parameter: Parameter) -> Tensor:
    return Tensor(parameter.asnumpy().copy())
