"""How a model is trained: optimizer, schedule, precision, what is saved and when."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mg import runtime
from mg.checks import is_number, require_whole
from mg.errors import InputError
from mg.models.families import FAMILIES

_WHOLE = {
    "max_steps": 1,
    "batch_size": 1,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "loss_scale_interval": 0,
    "checkpoint_interval": 1,
    "keep_checkpoints": 1,
    "validation_interval": 1,
    "validation_frames": 0,
    "validation_image_size": 0,
    "recompute_levels": 0,
    "seed": 0,
}
_NUMBERS = {
    "learning_rate": (0, 1e30),
    "final_learning_rate_share": (0, 1),
    "temporal_learning_rate_multiplier": (0, 1e30),
    "weight_decay": (0, 1e30),
    "max_grad_norm": (0, 1e30),
    "ema_decay": (0, 1),
    "loss_scale": (1, 2**24),
    "disc_learning_rate": (0, 1e30),
}
_CHOICES = {
    "model": tuple(FAMILIES),
    "optimizer": ("adamw", "muon", "sgd"),
    "schedule": ("constant", "cosine"),
    "dtype": runtime.DTYPE_NAMES,
    "device_target": runtime.DEVICES,
    "mode": runtime.MODES,
}


@dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    model: the family. ckpt_path: weights to start from; model_config: a YAML file with the model's configuration, not
    needed with ckpt_path. Without both, the family's default sizes, random.
    max_steps: optimizer steps. batch_size: clips of one rank and micro batch. gradient_accumulation_steps: micro
    batches of a step.
    optimizer: "adamw", "muon" or "sgd", see mg/training/optimizer.py.
    learning_rate, warmup_steps, schedule ("constant" or "cosine"), final_learning_rate_share: see
    mg/training/schedule.py. temporal_learning_rate_multiplier: of the parameters that an image model does not have.
    weight_decay: of matrices and kernels; never of norms and biases. max_grad_norm: gradients are shortened to it; 0
    leaves them. ema_decay: of the averaged weights that are validated and saved; 0 keeps none.
    freeze: patterns, with * and ?, of parameters that stay as they are; freeze_spatial: all that inflation did not add.
    dtype: of convolutions and matrix products; fp16 with a dynamic loss_scale that doubles after loss_scale_interval
    good steps. recompute: activations of residual blocks are computed again in the backward pass instead of being kept;
    recompute_levels: at so many levels, from the largest frames on, or 0 for all.
    checkpoint_interval, keep_checkpoints: steps between checkpoints, and how many of the last are kept.
    validation_csv_path, validation_video_folder: clips to validate on, or none; validation_interval: steps between;
    validation_frames: of each clip, 0 for sample_n_frames; validation_image_size: of each side, 0 for image_size.
    disc_learning_rate: of the discriminator. seed: of everything random.
    device_target, mode, jit_level: see docs/training.md.
    """

    model: str = "tae"
    ckpt_path: str | None = None
    model_config: str | None = None
    max_steps: int = 100000
    batch_size: int = 1
    gradient_accumulation_steps: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    schedule: str = "constant"
    final_learning_rate_share: float = 0.0
    temporal_learning_rate_multiplier: float = 1.0
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    freeze: tuple[str, ...] = ()
    freeze_spatial: bool = False
    dtype: str = "auto"
    loss_scale: float = 65536.0
    loss_scale_interval: int = 2000
    recompute: bool = False
    recompute_levels: int = 0
    checkpoint_interval: int = 1000
    keep_checkpoints: int = 3
    validation_csv_path: str | None = None
    validation_video_folder: str | None = None
    validation_interval: int = 1000
    validation_frames: int = 0
    validation_image_size: int = 0
    disc_learning_rate: float = 1e-4
    seed: int = 0
    device_target: str = "CPU"
    mode: str = "graph"
    jit_level: str | None = None

    def __post_init__(self):
        for field, least in _WHOLE.items():
            require_whole(field, getattr(self, field), least)
        for field, (least, most) in _NUMBERS.items():
            value = getattr(self, field)
            if not is_number(value) or not least <= value <= most:
                raise InputError(f"{field}={value!r} must be a number from {least} to {most}")
            if not math.isfinite(value):
                raise InputError(f"{field}={value!r} must be finite")
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise InputError(f"{field}={getattr(self, field)!r} is unknown; use one of {', '.join(allowed)}")
        if self.jit_level is not None and self.jit_level not in runtime.JIT_LEVELS:
            raise InputError(f"jit_level={self.jit_level!r} is unknown; use one of {', '.join(runtime.JIT_LEVELS)}")
        for field in ("ckpt_path", "model_config", "validation_csv_path", "validation_video_folder"):
            if getattr(self, field) is not None and not str(getattr(self, field)).strip():
                raise InputError(f"{field} is an empty name; name one, or leave it out")
        if self.seed >= 2**32:
            raise InputError(f"seed={self.seed} must be below 2**32")
        if self.validation_frames == 1 or self.validation_frames > 4096:
            raise InputError(f"validation_frames={self.validation_frames} must be from 2 to 4096, or 0")
        if self.ema_decay == 1:
            raise InputError("ema_decay=1.0 would never move; use less, such as 0.999, or 0 for none")
        if self.warmup_steps >= self.max_steps and self.warmup_steps > 0:
            raise InputError(f"warmup_steps={self.warmup_steps} must be less than max_steps={self.max_steps}")
        if self.validation_csv_path is not None and self.validation_video_folder is None:
            raise InputError("validation_csv_path is given without validation_video_folder; give both")
