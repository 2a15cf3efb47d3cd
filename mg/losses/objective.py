"""What training minimises: the weighted sum of the terms that are switched on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Union

import numpy as np
from mindspore import Tensor, nn, ops

from mg.checks import is_number
from mg.config import check, setting
from mg.errors import InputError
from mg.losses.kl import KL
from mg.losses.outlier_penalty import OutlierPenalty
from mg.losses.perceptual import Perceptual
from mg.losses.reconstruction import chroma, reconstruction, squared_error
from mg.models.terms import CLIP, RECONSTRUCTION, Facts, Term

if TYPE_CHECKING:
    from mg.models.autoencoder import Autoencoder

Weight = Union[float, "tuple[float, float, int]"]  # [from, to, steps]: moves linearly, then stays
_WEIGHT = "float | tuple[float, float, int]"

SHARED = (
    Term(
        "reconstruction",
        (CLIP, RECONSTRUCTION),
        "absolute differences, summed over a frame",
        function=reconstruction,
        of_reconstruction=True,
        weight=1.0,
    ),
    Term(
        "squared_error",
        (CLIP, RECONSTRUCTION),
        "squared differences, summed over a frame",
        function=squared_error,
        of_reconstruction=True,
    ),
    Term(
        "chroma",
        (CLIP, RECONSTRUCTION),
        "squared differences of Cb and Cr, summed over a frame",
        function=chroma,
        of_reconstruction=True,
    ),
    Term(
        "perceptual",
        (CLIP, RECONSTRUCTION),
        "LPIPS of the frames, times 3*H*W",
        cell=lambda config, facts: Perceptual(config.lpips_weights, facts.dtype),
        of_reconstruction=True,
        weight=1.0,
        settings=(("lpips_weights", "str | None", setting(None, "file of tools/convert_lpips.py")),),
    ),
    Term(
        "kl",
        ("mean", "logvar"),
        "divergence of the posterior from a standard normal distribution",
        cell=lambda config, facts: KL(facts.time_compression),
        weight=1e-6,
    ),
    Term(
        "outlier_penalty",
        ("mean",),
        "excess of latents over outlier_limit deviations",
        cell=lambda config, facts: OutlierPenalty(config.outlier_limit),
        weight=1e5,
        switch="use_outlier_penalty_loss",
        settings=(
            ("use_outlier_penalty_loss", "bool", setting(False, "whether the outlier penalty counts")),
            ("outlier_limit", "float", setting(3.0, "deviations from the frame's mean that cost nothing", 0)),
        ),
    ),
)


class _Weights:
    """What every configuration that `objective_config` makes can do."""

    terms: ClassVar[tuple[Term, ...]]

    def __post_init__(self):
        check(self)
        for term in self.terms:
            weight = getattr(self, term.key)
            if not is_number(weight) and weight[2] < 1:
                raise InputError(f"{term.key}={list(weight)} must be [from, to, steps] with steps of at least 1")
        if not self.weights:
            raise InputError("all terms are off, so there is nothing to minimise; set reconstruction_weight above 0")

    @property
    def weights(self) -> dict[str, Weight]:
        """The terms that are on, with their weights."""
        return {term.name: getattr(self, term.key) for term in self.terms if self._is_on(term)}

    def _is_on(self, term: Term) -> bool:
        weight = getattr(self, term.key)
        switched = term.switch is None or getattr(self, term.switch)
        return switched and (weight > 0 if is_number(weight) else max(weight[:2]) > 0)


@cache
def objective_config(terms: tuple[Term, ...] = ()) -> type:
    """The dataclass of weights and settings of the shared terms and of a family's own. A weight of 0 turns a term off.

    A weight is a number, or [from, to, steps] for one that moves linearly over so many steps and then stays.
    """
    rows, fields = (*SHARED, *terms), []
    for term in rows:
        fields.append((term.key, _WEIGHT, setting(term.weight, f"weight: {term.help}", 0)))
        fields += term.settings
    twice = {term.key for term in rows if sum(other.name == term.name for other in rows) > 1}
    if twice:
        raise ValueError(f"{', '.join(twice)}: two terms have that name, which comes twice")
    about = "Terms of the loss.\n\nA weight is a number, or three for one that moves: from, to, steps. 0 is off."
    namespace = {"terms": rows, "__doc__": about}
    return make_dataclass("ObjectiveConfig", fields, bases=(_Weights,), namespace=namespace, frozen=True)


ObjectiveConfig = objective_config()


def weight_at(weight: Weight, step: int) -> float:
    """A weight at a step, which counts from 0."""
    if is_number(weight):
        return float(weight)
    first, last, steps = weight
    share = min(step / steps, 1.0)
    return (1.0 - share) * first + share * last


def facts_of(model: Autoencoder, ranks: int = 1) -> Facts:
    """What terms may know of a model."""
    return Facts(model.time_compression, model.compute_dtype, ranks, model.config)


class Objective(nn.Cell):
    """(outputs, clip, weights) -> (total, terms): total = sum of +-weight * term, terms unweighted, by name.

    outputs: a dict of what the family's forward gives: "reconstruction", like the clip (B, 3, T, H, W), and what else
    its terms need; any floating types; other entries are ignored. weights: `weights_at` of the step; only those that
    move are read from it, the others are constants of the graph. All results are fp32 scalars.
    given: the names of those outputs. `names` lists the terms.
    Raises InputError when a term needs what is not given, or its network's weights are missing.
    """

    def __init__(self, config: _Weights, given: Sequence[str], facts: Facts):
        super().__init__()
        self.weights = config.weights
        self.names = tuple(self.weights)
        rows = [term for term in config.terms if term.name in self.weights]
        for term in rows:
            _require_outputs(term, given)
        self.needs = tuple(term.needs for term in rows)
        self.numbers = tuple(weight if is_number(weight) else None for weight in self.weights.values())
        self.signs = tuple(-1.0 if term.maximised else 1.0 for term in rows)
        self.all = tuple(range(len(rows)))
        self.by_reconstruction = tuple(index for index in self.all if rows[index].of_reconstruction)
        self.parts = nn.CellList([term.build(config, facts) for term in rows])

    def construct(self, outputs: dict[str, Tensor], clip: Tensor, weights: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        terms = self.compute(self.all, outputs, clip)
        return self.weighed(self.all, terms, weights), terms

    def of_reconstruction(self, recon: Tensor, clip: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of the terms that judge the reconstruction."""
        terms = self.compute(self.by_reconstruction, {"reconstruction": recon}, clip)
        return self.weighed(self.by_reconstruction, terms, weights)

    def compute(self, chosen: tuple[int, ...], outputs: dict[str, Tensor], clip: Tensor) -> dict[str, Tensor]:
        """The unweighted terms of these places, by name."""
        terms = {}
        for index in chosen:
            tensors = [clip if name == CLIP else outputs[name] for name in self.needs[index]]
            terms[self.names[index]] = self.parts[index](*tensors)
        return terms

    def weighed(self, chosen: tuple[int, ...], terms: dict[str, Tensor], weights: Tensor) -> Tensor:
        total = 0.0
        for index in chosen:
            weight = weights[index] if self.numbers[index] is None else self.numbers[index]
            total = total + self.signs[index] * weight * terms[self.names[index]]
        return total

    def weights_at(self, step: int) -> Tensor:
        """The weights of all terms at a step, (terms,) fp32."""
        return Tensor(np.array([weight_at(weight, step) for weight in self.weights.values()], np.float32))


class Figures(nn.Cell):
    """(weights, clip, tensors named `given`) -> total and terms of an objective, one fp32 vector; see `names`.

    Terms that need something else are left out, and the total is without them. One vector, since a graph's result
    cannot be a dict of numbers without leaving the graph.
    """

    def __init__(self, objective: Objective, given: Sequence[str]):
        super().__init__(auto_prefix=False)
        self.objective = objective
        self.given = tuple(given)
        self.chosen = tuple(i for i in objective.all if set(objective.needs[i]) <= {CLIP, *given})
        self.names = ("total", *[objective.names[index] for index in self.chosen])

    def construct(self, weights: Tensor, clip: Tensor, *tensors: Tensor) -> Tensor:
        outputs = {}
        for name, tensor in zip(self.given, tensors):
            outputs[name] = tensor
        terms = self.objective.compute(self.chosen, outputs, clip)
        total = self.objective.weighed(self.chosen, terms, weights)
        return ops.stack([total, *[terms[name] for name in self.names[1:]]])

    def by_name(self, weights: Tensor, clip: Tensor, outputs: Mapping[str, Tensor]) -> dict[str, float]:
        """The same as numbers; outputs: at least those that are given."""
        if not self.chosen:
            return {}
        values = self(weights, clip, *[outputs[name] for name in self.given])
        return dict(zip(self.names, values.asnumpy().tolist()))


def _require_outputs(term: Term, given: Sequence[str]) -> None:
    missing = [name for name in term.needs if name not in (CLIP, *given)]
    if missing:
        raise InputError(
            f"{term.key}: the term needs {' and '.join(missing)}, but this family gives {', '.join(given)}; "
            f"set {term.key}: 0"
        )
