"""How a model is trained: optimizer, schedule, precision, what is saved and when."""

from __future__ import annotations

from dataclasses import dataclass

from mg import runtime
from mg.config import check, setting
from mg.errors import InputError
from mg.training.schedule import SCHEDULES

OPTIMIZERS = ("adamw", "muon", "sgd")


def _families() -> tuple[str, ...]:
    """Names of the families at this moment; imported here, since a configuration needs no network to be read."""
    from mg.models.families import FAMILIES

    return tuple(FAMILIES)


def _default_family() -> str:
    from mg.models.families import DEFAULT

    return DEFAULT


@dataclass(frozen=True)
class TrainingConfig:
    """Training.

    docs/training.md says more about optimizers, schedules, precision and devices.
    """

    model: str = setting(_default_family, "the family", choices=_families)
    ckpt_path: str | None = setting(None, "weights to start from; none: random ones")
    model_config: str | None = setting(None, "YAML of the model's sizes; none: ckpt_path's, or the family's defaults")
    max_steps: int = setting(100000, "how long to train", 1, unit="optimizer steps")
    batch_size: int = setting(1, "clips of a micro batch and rank", 1)
    gradient_accumulation_steps: int = setting(1, "micro batches of a step", 1)
    optimizer: str = setting("adamw", "of the model", choices=OPTIMIZERS)
    betas: tuple[float, float] = setting((0.9, 0.999), "decay of adamw's averages of gradients and squares", 0, 1)
    learning_rate: float = setting(1e-5, "at its highest", 0)
    warmup_steps: int = setting(0, "steps over which the rate rises from zero", 0, unit="steps")
    schedule: str = setting("constant", "course of the rate after the warm-up", choices=SCHEDULES)
    final_learning_rate_share: float = setting(0.0, "where cosine ends, as a share of the rate", 0, 1)
    temporal_learning_rate_multiplier: float = setting(1.0, "rate of parameters that an image model does not have", 0)
    weight_decay: float = setting(0.01, "of matrices and kernels, never of norms and biases", 0)
    max_grad_norm: float = setting(1.0, "gradients are shortened to it; 0 leaves them", 0)
    ema_decay: float = setting(0.0, "of averaged weights, which are validated and saved; 0 keeps none", 0, 1)
    freeze: tuple[str, ...] = setting((), "patterns, with * and ?, of parameters that stay as they are")
    freeze_spatial: bool = setting(False, "freeze all parameters that an image model has")
    dtype: str = setting("auto", "of convolutions; auto: fp32 on CPU, bf16 on Ascend", choices=runtime.DTYPE_NAMES)
    loss_scale: float = setting(65536.0, "first scale of fp16's loss", 1, 2**24)
    loss_scale_interval: int = setting(2000, "good steps after which it doubles; 0: never", 0, unit="steps")
    recompute: bool = setting(False, "compute activations again in the backward pass instead of keeping them")
    recompute_levels: int = setting(0, "at so many levels, from the largest frames on; 0: all", 0)
    checkpoint_interval: int = setting(1000, "from a checkpoint to the next", 1, unit="steps")
    keep_checkpoints: int = setting(3, "how many of the last are kept", 1)
    validation_csv_path: str | None = setting(None, "CSV that lists clips below validation_video_folder; none: all")
    validation_video_folder: str | None = setting(None, "clips to validate on; none: no validation")
    validation_interval: int = setting(1000, "from a validation to the next", 1, unit="steps")
    validation_frames: int = setting(0, "of each clip, 2 or more; 0: sample_n_frames", 0, 4096)
    validation_image_size: int = setting(0, "of each side, in pixels; 0: image_size", 0)
    disc_learning_rate: float = setting(1e-4, "of the discriminator", 0)
    disc_optimizer: str = setting("adamw", "of the discriminator", choices=OPTIMIZERS)
    disc_betas: tuple[float, float] = setting((0.9, 0.999), "the same of an adamw in disc_optimizer", 0, 1)
    seed: int = setting(0, "of everything random", 0, 2**32 - 1)
    device_target: str = setting("CPU", "where networks run", choices=runtime.DEVICES)
    mode: str = setting("graph", "how MindSpore runs them", choices=runtime.MODES)
    jit_level: str | None = setting(None, "optimisation of graphs; none: MindSpore's", choices=runtime.JIT_LEVELS)

    def __post_init__(self):
        check(self)
        if self.validation_frames == 1:
            raise InputError("validation_frames=1 is no video; use 2 or more, or 0 for sample_n_frames")
        for field in ("betas", "disc_betas"):
            betas = getattr(self, field)
            if 1.0 in betas:
                raise InputError(f"{field}={betas} must be below 1, or the averages never move; use 0.9 0.999")
        if self.ema_decay == 1:
            raise InputError("ema_decay=1.0 would never move; use less, such as 0.999, or 0 for none")
        if self.warmup_steps >= self.max_steps and self.warmup_steps > 0:
            raise InputError(f"warmup_steps={self.warmup_steps} must be less than max_steps={self.max_steps}; lower it")
        if self.validation_csv_path is not None and self.validation_video_folder is None:
            raise InputError("validation_csv_path is given without validation_video_folder; give both")
