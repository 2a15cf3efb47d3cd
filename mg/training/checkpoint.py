"""Everything a training is at one step, in one file; and which of these files to keep."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor

from mg.data.loader import Step
from mg.data.plan import Position
from mg.errors import InputError
from mg.files import make_folder
from mg.models import weights
from mg.training.recipe import MAY_DIFFER

logger = logging.getLogger(__name__)

FAMILY = "training_state"
_PATTERN = "step_*.safetensors"


@dataclass
class Progress:
    """What a training remembers besides tensors.

    position: where its data goes on. adversarial_weight: the last adaptive weight. best_psnr: of the validations.
    short, replaced, skipped: clips that were too short, clips that could not be read, steps that were not finite.
    bad_files: which files could not be read, and why.
    """

    position: Position = field(default_factory=Position)
    adversarial_weight: float = 0.0
    best_psnr: float | None = None
    short: int = 0
    replaced: int = 0
    skipped: int = 0
    bad_files: dict[str, str] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.position.step

    def note(self, step: Step, figures: Mapping[str, float]) -> None:
        """Count a step that was taken. figures: of all ranks, with "short", "replaced" and "kept"."""
        self.position = step.position
        self.short += round(figures["short"])
        self.replaced += round(figures["replaced"])
        self.skipped += figures["kept"] == 0
        self.bad_files.update(step.bad)

    def is_best(self, psnr: float) -> bool:
        """Whether a validation is the best so far; if so, it is what the next are compared with."""
        if self.best_psnr is not None and psnr <= self.best_psnr:
            return False
        self.best_psnr = psnr
        return True


def set_aside(folder: Path, step: int) -> None:
    """Move checkpoints of later steps than `step` into the subfolder "later": a run that goes on from there is new."""
    for path in sorted(folder.glob(_PATTERN)):
        if int(path.stem.partition("_")[2]) > step:
            make_folder(folder / "later")
            path.replace(folder / "later" / path.name)


def save(folder: Path, tensors: Mapping[str, Parameter], progress: Progress, config: Mapping, keep: int) -> Path:
    """Write a checkpoint into `folder` under a temporary name, rename it, then remove all but the last `keep`.

    Raises InputError when it cannot be written; older checkpoints are then still there.
    """
    path = folder / f"step_{progress.step:08d}.safetensors"
    weights.write(path, tensors, {"family": FAMILY, "progress": asdict(progress), "config": dict(config)})
    for old in sorted(folder.glob(_PATTERN))[:-keep]:
        old.unlink()
    return path


def latest(folder: Path) -> Path:
    """The newest checkpoint in `folder`; InputError if there is none."""
    found = sorted(folder.glob(_PATTERN))
    if not found:
        raise InputError(f"there is no checkpoint in '{folder}' to resume from; leave --resume out to begin there")
    return found[-1]


def load(path: Path | str, tensors: Mapping[str, Parameter], config: Mapping, defaults: Mapping) -> Progress:
    """Put a checkpoint's values into `tensors` and return its progress.

    config: of the run that goes on, as it was saved; keys in MAY_DIFFER may have changed since. defaults: of keys that
    there were not yet when the checkpoint was written. Raises InputError when the file is no checkpoint, its tensors
    are not exactly these, or another key of its recipe differs.
    """
    file = weights.TensorFile(path)
    if file.header.get("family") != FAMILY:
        raise InputError(f"'{path}' is no checkpoint of a training; --resume takes a file step_*.safetensors")
    progress, before = _parse(path, file.header)
    _require_same(path, {**defaults, **before}, config)
    values = {name: file[name] for name in file}
    check = {
        "missing": [name for name in tensors if name not in values],
        "unexpected": [name for name in values if name not in tensors],
        "of another shape": [n for n in tensors if n in values and values[n].shape != tuple(tensors[n].shape)],
        "not finite": [name for name, value in values.items() if not np.isfinite(value).all()],
    }
    wrong = [f"{len(names)} {kind} ({', '.join(names[:5])})" for kind, names in check.items() if names]
    if wrong:
        raise InputError(f"'{path}' does not fit this training: {'; '.join(wrong)}")
    for name, parameter in tensors.items():
        parameter.set_data(Tensor(values[name], parameter.dtype))
    return progress


def _require_same(path: Path | str, before: Mapping, config: Mapping) -> None:
    changed = [key for key in config if key not in MAY_DIFFER and before.get(key) != config[key]]
    if changed:
        named = ", ".join(f"{key}: {before.get(key)!r} became {config[key]!r}" for key in changed[:5])
        raise InputError(
            f"'{path}' was trained otherwise ({named}); resume with the same recipe, or start anew from it"
        )


def _parse(path: Path | str, header: Mapping) -> tuple[Progress, Mapping]:
    try:
        saved = dict(header["progress"])
        progress = Progress(**{**saved, "position": Position.from_dict(saved["position"])})
        dict(progress.bad_files)
        return progress, dict(header["config"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"'{path}' is damaged: its header is not a checkpoint's ({error}); use another one") from None
