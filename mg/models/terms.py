"""Loss terms as rows: what a term is called, which outputs it looks at, and how it is computed.

A family declares those that only it brings as `terms = (Term(...), ...)`; the shared ones are in mg.losses.objective.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn
from mindspore import dtype as mstype

CLIP, RECONSTRUCTION = "clip", "reconstruction"


@dataclass(frozen=True)
class Facts:
    """What a term may know of the model and the training, beside the outputs that it looks at.

    time_compression: frames that each latent frame after the first stands for. dtype: of convolutions and matrix
    products. ranks: processes that train together. config: of the model.
    """

    time_compression: int = 1
    dtype: ms.Type = mstype.float32
    ranks: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Term:
    """One row.

    name: its key is `<name>_weight`. needs: names of what it is given, in this order: of the outputs of a family's
    forward, and "clip". help: what it is, in a few words.
    function: (tensors) -> fp32 scalar; or cell: makes a cell that does this, of the objective's configuration and facts
    of the model, for a term with settings or networks of its own. Sums, means and divisors are part of the term.
    of_reconstruction: whether it judges the reconstruction, by that and the clip alone: the adaptive weight of the
    adversarial term is measured by those.
    maximised: whether more of it is better: it is then subtracted.
    weight: the default, a number or (from, to, steps). switch: a setting that must be True too.
    settings: (name, annotation, mg.config.setting(...)).
    """

    name: str
    needs: tuple[str, ...]
    help: str
    function: Callable[..., Tensor] | None = None
    cell: Callable[[Any, Facts], nn.Cell] | None = None
    of_reconstruction: bool = False
    maximised: bool = False
    weight: float | tuple[float, float, int] = 0.0
    switch: str | None = None
    settings: tuple[tuple[str, str, Any], ...] = ()

    def __post_init__(self):
        if (self.function is None) == (self.cell is None):
            raise ValueError(f"term {self.name}: give either a function or what makes a cell")
        if self.of_reconstruction and not set(self.needs) <= {CLIP, RECONSTRUCTION}:
            raise ValueError(f"term {self.name}: a term of the reconstruction needs that and the clip alone")

    @property
    def key(self) -> str:
        """The name of its weight in a recipe."""
        return f"{self.name}_weight"

    def build(self, config: Any, facts: Facts) -> nn.Cell:
        """A cell (tensors that it needs) -> fp32 scalar."""
        return _Function(self.function) if self.cell is None else self.cell(config, facts)


class _Function(nn.Cell):
    """A pure function as a cell."""

    def __init__(self, function: Callable[..., Tensor]):
        super().__init__()
        self.function = function

    def construct(self, *tensors: Tensor) -> Tensor:
        return self.function(*tensors)
