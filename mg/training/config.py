"""How a model is trained: optimizer, schedule, precision, what is saved and when."""

from __future__ import annotations

from dataclasses import dataclass

from mg import runtime
from mg.config import check, setting
from mg.errors import InputError
from mg.losses.adversarial import LOSSES
from mg.models.discriminators import DISCRIMINATORS, GROUPS
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
    optimizer: str = setting("adamw", "what updates the model", choices=OPTIMIZERS)
    betas: tuple[float, float] = setting((0.9, 0.999), "decay of adamw's averages of gradients and squares", 0, 1)
    learning_rate: float = setting(1e-5, "of the model, at its highest", 0)
    warmup_steps: int = setting(0, "how long the rate rises from zero", 0, unit="steps")
    schedule: str = setting("constant", "course of the rate after the warm-up", choices=SCHEDULES)
    final_learning_rate_share: float = setting(0.0, "where cosine ends, as a share of the rate", 0, 1)
    temporal_learning_rate_multiplier: float = setting(1.0, "rate of parameters that an image model does not have", 0)
    weight_decay: float = setting(0.01, "of matrices and kernels, never of norms and biases", 0)
    max_grad_norm: float = setting(1.0, "gradients are shortened to it; 0 leaves them", 0)
    ema_decay: float = setting(0.0, "of averaged weights, which are validated and saved; 0 keeps none", 0, 1)
    freeze: tuple[str, ...] = setting((), "patterns, with * and ?, of parameters that stay as they are")
    freeze_spatial: bool = setting(False, "freeze all parameters that an image model has")
    dtype: str = setting("auto", "type of convolutions; auto: fp32 on CPU, bf16 on Ascend", choices=runtime.DTYPE_NAMES)
    loss_scale: float = setting(65536.0, "first scale of fp16's loss", 1, 2**24)
    loss_scale_interval: int = setting(2000, "good steps after which it doubles; 0: never", 0, unit="steps")
    recompute: bool = setting(False, "compute activations again in the backward pass instead of keeping them")
    recompute_levels: int = setting(0, "at how many levels, from the largest frames on; 0: all", 0)
    checkpoint_interval: int = setting(1000, "how often a checkpoint is written", 1, unit="steps")
    keep_checkpoints: int = setting(3, "how many of the last are kept", 1)
    validation_csv_path: str | None = setting(None, "CSV that lists clips below validation_video_folder; none: all")
    validation_video_folder: str | None = setting(None, "clips to validate on; none: no validation")
    validation_interval: int = setting(1000, "how often it validates", 1, unit="steps")
    validation_frames: int = setting(0, "of each clip, 2 or more; 0: sample_n_frames", 0, 4096, unit="frames")
    validation_image_size: int = setting(0, "of each side; 0: image_size", 0, unit="pixels")
    seed: int = setting(0, "of everything random: weights, clips, noise", 0, 2**32 - 1)
    device_target: str = setting("CPU", "where networks run", choices=runtime.DEVICES)
    mode: str = setting("graph", "how MindSpore runs them", choices=runtime.MODES)
    jit_level: str | None = setting(None, "optimisation of graphs; none: MindSpore's", choices=runtime.JIT_LEVELS)

    def __post_init__(self):
        check(self)
        if self.validation_frames == 1:
            raise InputError("validation_frames=1 is no video; use 2 or more, or 0 for sample_n_frames")
        _require_moving("betas", *self.betas)
        _require_moving("ema_decay", self.ema_decay)
        if self.warmup_steps >= self.max_steps and self.warmup_steps > 0:
            raise InputError(f"warmup_steps={self.warmup_steps} must be less than max_steps={self.max_steps}; lower it")
        if self.validation_csv_path is not None and self.validation_video_folder is None:
            raise InputError("validation_csv_path is given without validation_video_folder; give both")


@dataclass(frozen=True)
class AdversarialConfig:
    """Adversarial training.

    A discriminator learns to tell clips from their reconstructions, and the model to mislead it. disc_weight_mode
    adaptive: disc_weight times the ratio of the gradients of the reconstruction's terms and of the discriminator's.
    docs/losses.md says more.
    """

    disc_weight: float = setting(0.0, "of the adversarial term; 0: no discriminator", 0)
    disc_kind: str = setting("frame", "the discriminator", choices=tuple(DISCRIMINATORS))
    disc_channels: int = setting(64, f"of its first layer, a multiple of {GROUPS}", GROUPS)
    disc_start: int = setting(0, "first step that it takes part in", 0)
    disc_loss: str = setting("hinge", "of discriminator and model", choices=tuple(LOSSES))
    disc_weight_mode: str = setting("adaptive", "of disc_weight, see above", choices=("adaptive", "constant"))
    disc_weight_limit: float = setting(1e4, "the most that the ratio may become", 0)
    disc_learning_rate: float = setting(1e-4, "at its highest", 0)
    disc_optimizer: str = setting("adamw", "of the discriminator", choices=OPTIMIZERS)
    disc_betas: tuple[float, float] = setting((0.9, 0.999), "decay of its adamw's averages", 0, 1)
    r1_weight: float = setting(0.0, "of R1, the squared gradient of real clips' logits", 0)
    r1_interval: int = setting(16, "from a step with R1 to the next", 1, unit="steps")
    lecam_weight: float = setting(0.0, "of LeCAM, which keeps logits near their running means", 0)
    lecam_decay: float = setting(0.99, "of those means", 0, 1)
    lecam_of: str = setting("logits", "what it keeps: each logit, or their means", choices=("logits", "means"))

    def __post_init__(self):
        check(self)
        _require_moving("disc_betas", *self.disc_betas)
        _require_moving("lecam_decay", self.lecam_decay)
        if self.disc_channels % GROUPS:
            raise InputError(
                f"disc_channels={self.disc_channels} must be a multiple of {GROUPS}, the groups of its norms; use 64"
            )


def _require_moving(field: str, *decays: float) -> None:
    if 1.0 in decays:
        raise InputError(f"{field}: an average that decays by 1.0 would never move; use less, such as 0.999")
