"""What training minimises: the weighted sum of the terms that are switched on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mg.checks import is_number, is_whole
from mg.errors import InputError
from mg.models.discriminators import DISCRIMINATORS, GROUPS
from mg.losses.kl import kl
from mg.models.lpips.network import LPIPS, perceptual
from mg.losses.outlier_penalty import outlier_penalty
from mg.losses.reconstruction import reconstruction, squared_error

_OF_RECONSTRUCTION = ("reconstruction", "squared_error", "perceptual")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Weights and settings of all terms. A weight of 0 turns its term off; the penalty has a switch of its own.

    lpips_weights: the file of tools/convert_lpips.py, needed when perceptual_weight > 0.
    disc_weight: of the adversarial term, off by default; disc_kind "frame" or "clip"; disc_start: its first step;
    disc_weight_limit: the most that the adaptive weight may become; lecam_weight: of LeCAM in the discriminator's loss.
    """

    reconstruction_weight: float = 1.0
    squared_error_weight: float = 0.0
    perceptual_weight: float = 1.0
    lpips_weights: str | None = None
    kl_weight: float = 1e-6
    use_outlier_penalty_loss: bool = False
    outlier_penalty_weight: float = 1e5
    outlier_limit: float = 3.0
    disc_weight: float = 0.0
    disc_kind: str = "frame"
    disc_channels: int = 64
    disc_start: int = 0
    disc_weight_limit: float = 1e4
    lecam_weight: float = 0.0

    def __post_init__(self):
        for field in fields(self):
            if field.type == "float":
                _require_weight(field.name, getattr(self, field.name))
        _require_whole("disc_start", self.disc_start, 0, "at least 0; use the step it shall start at")
        rule = f"a multiple of {GROUPS} and at least {GROUPS}, the groups of its norms; use e.g. 64"
        _require_whole("disc_channels", self.disc_channels, GROUPS, rule, GROUPS)
        if not isinstance(self.use_outlier_penalty_loss, bool):
            raise InputError(f"use_outlier_penalty_loss={self.use_outlier_penalty_loss!r} must be True or False")
        if self.disc_kind not in DISCRIMINATORS:
            raise InputError(f"disc_kind={self.disc_kind!r} is unknown; use one of {', '.join(DISCRIMINATORS)}")
        if not self.weights:
            raise InputError("all terms are off, so there is nothing to minimise; set reconstruction_weight above 0")

    @property
    def weights(self) -> dict[str, float]:
        """The terms of `Objective` that are on, with their weights."""
        penalty = self.outlier_penalty_weight if self.use_outlier_penalty_loss else 0.0
        named = {
            "reconstruction": self.reconstruction_weight,
            "squared_error": self.squared_error_weight,
            "perceptual": self.perceptual_weight,
            "kl": self.kl_weight,
            "outlier_penalty": penalty,
        }
        return {name: weight for name, weight in named.items() if weight > 0}


class Objective(nn.Cell):
    """(outputs, clip) -> (total, terms): total = sum of weight * term, terms unweighted, by name; all fp32 scalars.

    outputs: a dict with "reconstruction", like the clip (B, 3, T, H, W), and, as far as their terms are on, "mean" and
    "logvar" (B, z, t, h, w); any floating types; other entries are ignored.
    time_compression: frames for each latent frame. dtype: the type that LPIPS's convolutions compute in.
    `names` lists the terms. Raises InputError when the perceptual term is on without its weights.
    """

    def __init__(self, config: ObjectiveConfig, time_compression: int, dtype: ms.Type = mstype.float32):
        super().__init__()
        self.weights = config.weights
        self.names = tuple(self.weights)
        self.names_of_reconstruction = tuple(n for n in self.names if n in _OF_RECONSTRUCTION)
        self.limit = config.outlier_limit
        self.time_compression = time_compression
        self.dtype = dtype
        self.lpips = LPIPS(config.lpips_weights) if "perceptual" in self.names else None

    def construct(self, outputs: dict[str, Tensor], clip: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        terms = self.terms_of_reconstruction(outputs["reconstruction"], clip)
        if "kl" in self.names:
            terms["kl"] = kl(outputs["mean"], outputs["logvar"], self.time_compression)
        if "outlier_penalty" in self.names:
            terms["outlier_penalty"] = outlier_penalty(outputs["mean"], self.limit)
        return self.weighed(terms, self.names), terms

    def of_reconstruction(self, recon: Tensor, clip: Tensor) -> Tensor:
        """The weighted sum of the terms that look at the reconstruction alone."""
        return self.weighed(self.terms_of_reconstruction(recon, clip), self.names_of_reconstruction)

    def terms_of_reconstruction(self, recon: Tensor, clip: Tensor) -> dict[str, Tensor]:
        terms = {}
        if "reconstruction" in self.names:
            terms["reconstruction"] = reconstruction(clip, recon)
        if "squared_error" in self.names:
            terms["squared_error"] = squared_error(clip, recon)
        if "perceptual" in self.names:
            terms["perceptual"] = perceptual(self.lpips, clip.astype(self.dtype), recon.astype(self.dtype))
        return terms

    def weighed(self, terms: dict[str, Tensor], names: tuple[str, ...]) -> Tensor:
        total = 0.0
        for name in names:
            total = total + self.weights[name] * terms[name]
        return total


class Figures(nn.Cell):
    """(reconstruction, mean, logvar, clip) -> the total and the terms of an objective, (1 + terms,) fp32; `names`.

    One vector, since a graph's result cannot be a dict of numbers without leaving the graph.
    """

    def __init__(self, objective: Objective):
        super().__init__(auto_prefix=False)
        self.objective = objective
        self.names = ("total", *objective.names)

    def construct(self, recon: Tensor, mean: Tensor, logvar: Tensor, clip: Tensor) -> Tensor:
        total, terms = self.objective({"reconstruction": recon, "mean": mean, "logvar": logvar}, clip)
        return ops.stack([total, *[terms[name] for name in self.objective.names]])


def _require_weight(field: str, value: object) -> None:
    if not is_number(value) or not 0 <= value <= 1e30:
        raise InputError(f"{field}={value!r} must be a number from 0 to 1e30; correct it")


def _require_whole(field: str, value: object, least: int, rule: str, multiple: int = 1) -> None:
    if not is_whole(value) or value < least or value % multiple:
        raise InputError(f"{field}={value!r} must be a whole number, {rule}")
