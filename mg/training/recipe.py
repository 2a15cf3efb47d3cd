"""A recipe: everything that defines a training run, as flat names and values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mg.config import as_mapping, build, defaults
from mg.data.config import DataConfig
from mg.losses.objective import ObjectiveConfig, objective_config
from mg.models import families
from mg.training.config import AdversarialConfig, TrainingConfig

# What may change when a training goes on: where things are and how long it goes, not what is learned.
MAY_DIFFER = (
    *("max_steps", "checkpoint_interval", "keep_checkpoints", "max_bad_share", "num_workers"),
    *("recompute", "recompute_levels"),
    *("validation_csv_path", "validation_video_folder", "validation_interval", "validation_frames"),
    "validation_image_size",
    *("csv_path", "video_folder", "image_csv_path", "image_folder", "ckpt_path", "model_config", "lpips_weights"),
    *("device_target", "mode", "jit_level"),
)


def recipe_classes(model: str | None = None) -> tuple[type, ...]:
    """The dataclasses whose fields are the keys of a family's recipes; None is the default family.

    Raises InputError for a name that is no family.
    """
    terms = families.family_of(families.DEFAULT if model is None else model).terms
    return TrainingConfig, DataConfig, objective_config(terms), AdversarialConfig


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a training run."""

    training: TrainingConfig
    data: DataConfig
    objective: ObjectiveConfig
    adversarial: AdversarialConfig

    @classmethod
    def of(cls, *mappings: Mapping[str, Any]) -> Recipe:
        """From recipes and flags; later ones win. Their key `model` says which family's keys there are.

        Raises InputError for unknown keys and for values that are refused.
        """
        model = {name: value for mapping in mappings for name, value in mapping.items()}.get("model")
        return cls(*build(recipe_classes(model), *mappings))

    def as_mapping(self) -> dict[str, Any]:
        """Flat, as a recipe file has it."""
        return as_mapping(self.training, self.data, self.objective, self.adversarial)

    def defaults(self) -> dict[str, Any]:
        """What a recipe of this family is without any key."""
        return defaults(*recipe_classes(self.training.model))

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(3, T, H, W): the most frames, rows and columns together that its clips have."""
        data = self.data
        height, width = max(data.sizes, key=lambda size: size[0] * size[1])
        return 3, max(data.lengths), height, width
