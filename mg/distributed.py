"""Data parallelism: who we are among the ranks, and what ranks tell each other. Works for HCCL and for CPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.communication import get_group_size, get_rank, init


def start() -> tuple[int, int]:
    """(rank, ranks): joins the job if MindSpore's launcher `msrun` started this process, else (0, 1).

    The launcher's scheduler runs the same script; for it, `init` ends with the job and does not return.
    """
    if "MS_ROLE" not in os.environ:
        return 0, 1
    init()
    return get_rank(), get_group_size()


def average_gradients(parameters: Sequence[Parameter], ranks: int) -> nn.Cell:
    """A cell that takes a tuple of gradients to their means over all ranks; MindSpore joins the collectives."""
    if ranks == 1:
        return nn.Identity()
    return nn.DistributedGradReducer(parameters, mean=True, degree=ranks)


class Average(nn.Cell):
    """A few fp32 tensors to their means over all ranks."""

    def __init__(self, ranks: int):
        super().__init__(auto_prefix=False)
        self.ranks = ranks
        if ranks > 1:
            self.all_reduce = ops.AllReduce(ops.ReduceOp.SUM)

    def construct(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.ranks == 1:
            return tensors
        flat = self.all_reduce(ops.concat([tensor.reshape(-1) for tensor in tensors])) / self.ranks
        averages, start = (), 0
        for tensor in tensors:
            averages = (*averages, flat[start : start + tensor.size].reshape(tensor.shape))
            start = start + tensor.size
        return averages


def total(count: int, ranks: int) -> int:
    """The sum of a whole number below 2^24 over all ranks; waits for them."""
    if ranks == 1:
        return count
    (mean,) = Average(ranks)((Tensor(np.array([count], np.float32)),))
    return round(float(mean.asnumpy()[0]) * ranks)


class _AllGather(nn.Cell):
    def __init__(self):
        super().__init__()
        self.all_gather = ops.AllGather()

    def construct(self, x: Tensor) -> Tensor:
        return self.all_gather(x)


def all_gather(ranks: int) -> Callable[[np.ndarray], np.ndarray]:
    """A collective that takes fp32 numbers (n,) of every rank to (ranks, n), in the order of ranks, on all of them."""
    cell = _AllGather()
    return lambda numbers: cell(Tensor(numbers)).asnumpy().reshape(ranks, -1)


class _Broadcast(nn.Cell):
    def __init__(self):
        super().__init__()
        self.broadcast = ops.Broadcast(0)

    def construct(self, x: Tensor) -> Tensor:
        return self.broadcast((x,))[0]


def broadcast(parameters: Iterable[Parameter], ranks: int) -> None:
    """Give every rank the values that rank 0 has."""
    if ranks > 1:
        cell = _Broadcast()
        for parameter in parameters:
            parameter.set_data(cell(Tensor(parameter.asnumpy())))
