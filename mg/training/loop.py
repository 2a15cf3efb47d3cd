"""The training loop: data, steps, log, validation, checkpoints."""

from __future__ import annotations

import fcntl
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mg import runtime
from mg.config import as_mapping, defaults, write_recipe
from mg.data.config import DataConfig
from mg.data.file_lists import find_files
from mg.data.loader import Step, TrainingData
from mg.data.plan import NOISE, Share
from mg.errors import InputError
from mg.files import make_folder
from mg.losses.objective import ObjectiveConfig
from mg.training import distributed, state
from mg.training.config import TrainingConfig
from mg.training.log import RunLog, text_log, write_bad_files
from mg.training.build import Parts
from mg.training.schedule import learning_rate
from mg.training.checkpoint import Progress
from mg.training.stop import Stop
from mg.training.validate import validate

logger = logging.getLogger(__name__)

RECIPE = (TrainingConfig, DataConfig, ObjectiveConfig)
INTERRUPTED = 130
MOST_SKIPPED = 100
# What may change when a training goes on: where things are and how long it goes, not what is learned.
MAY_DIFFER = (
    *("max_steps", "checkpoint_interval", "keep_checkpoints", "max_bad_share", "num_workers"),
    *("recompute", "recompute_levels"),
    *("validation_csv_path", "validation_video_folder", "validation_interval", "validation_frames"),
    "validation_image_size",
    *("csv_path", "video_folder", "image_csv_path", "image_folder", "ckpt_path", "model_config", "lpips_weights"),
    *("device_target", "mode", "jit_level"),
)


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a training run."""

    training: TrainingConfig
    data: DataConfig
    objective: ObjectiveConfig

    def as_mapping(self) -> dict:
        """Flat, as a recipe file has it."""
        return as_mapping(self.training, self.data, self.objective)


def lock(folder: Path):
    """An open file that keeps other runs out of `folder` until it is closed. Raises InputError if there is one."""
    file = open(folder / ".lock", "w")  # noqa: SIM115, the caller closes it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise InputError(f"another run is training in '{folder}'; wait for it, or name another --output_path") from None
    return file


def train(recipe: Recipe, output_path: Path | str, resume: bool | str = False) -> int:
    """Train, and write everything to the run folder `output_path`: see docs/training.md.

    resume: True goes on from the newest checkpoint in the run folder, a path from that file; False begins.
    Returns 0, or 130 when SIGINT or SIGTERM ended the run: it has then been saved. Raises InputError.
    """
    runtime.setup(recipe.training.device_target, recipe.training.mode, recipe.training.jit_level)
    rank, ranks = distributed.start()
    folder = make_folder(output_path)
    with ExitStack() as stack:
        if rank == 0:
            stack.enter_context(lock(folder))
            stack.enter_context(text_log(folder / "train.log"))
        return Run(recipe, folder, resume, rank, ranks).go()


class Run:
    """One training run of one rank. Rank 0 writes; others write their validation pictures and bad files."""

    def __init__(self, recipe: Recipe, folder: Path, resume: bool | str, rank: int, ranks: int):
        self.recipe, self.folder, self.rank, self.ranks = recipe, folder, rank, ranks
        self.checkpoints = folder / "checkpoints"
        if not resume and list(self.checkpoints.glob("step_*")):
            raise InputError(f"'{folder}' holds a training already; go on with --resume, or name another --output_path")
        self.validation = self._validation_data()
        self.parts = Parts(recipe.training, recipe.objective, ranks)
        self.progress = Progress()
        if resume:
            path = state.latest(self.checkpoints) if resume is True else Path(resume)
            self.progress = state.load(path, self.parts.tensors, self._learned(), MAY_DIFFER, defaults(*RECIPE))
            logger.info("resumed from %s, %d steps done", path, self.progress.step)
        distributed.broadcast(self.parts.tensors.values(), ranks)
        self.request = Stop()  # of this rank, by a signal
        self.stop = False  # all ranks, after the same step
        self.skipped_in_a_row = 0
        self.reduce = distributed.Average(ranks)

    def _learned(self) -> dict:
        """What a checkpoint remembers of how it came about: recipe, model and clips for each step of all ranks."""
        training = self.recipe.training
        model = {f"model.{key}": value for key, value in self.parts.model.config.items()}
        clips = training.batch_size * training.gradient_accumulation_steps * self.ranks
        return json.loads(json.dumps({**self.recipe.as_mapping(), **model, "clips_per_step": clips}))

    def go(self) -> int:
        """Train up to max_steps or until stopped."""
        training, progress = self.recipe.training, self.progress
        share = Share(training.batch_size, training.gradient_accumulation_steps, self.rank, self.ranks)
        data = TrainingData(self.recipe.data, training.seed, share, progress.position, progress.bad_files)
        self.log = None
        if self.rank == 0:
            state.set_aside(self.checkpoints, progress.step)
            self.log = RunLog(self.folder, progress.step)
            model = {k: list(v) if isinstance(v, tuple) else v for k, v in self.parts.model.config.items()}
            write_recipe(self.folder / "config.yaml", self.recipe.as_mapping())
            write_recipe(self.folder / "model.yaml", model)
        steps = closing(iter(data))
        bar = tqdm(total=training.max_steps, initial=progress.step, unit="step", disable=self.rank > 0)
        with steps as steps, bar, self.log or nullcontext(), self.request:
            try:
                while progress.step < training.max_steps and not self.stop:
                    self._one(self._next(steps), bar)
            except InputError as error:
                logger.error("error: %s", error)
                raise
            finally:
                self._write_bad_files({**progress.bad_files, **data.bad_files})
            if progress.step % training.checkpoint_interval:
                self._save()
            if self.stop:
                logger.info("stopped and saved after %d steps; go on with --resume", progress.step)
            else:
                logger.info("%d steps are done; the weights are %s", progress.step, self.folder / "last.safetensors")
        return INTERRUPTED if self.stop else 0

    def _next(self, steps: Iterator[Step]) -> Step:
        """The next step's clips; what was learned so far is saved if there are none."""
        try:
            return next(steps)
        except InputError:
            self._save()
            raise

    def _one(self, step: Step, bar: tqdm) -> None:
        """One optimizer step and what is due after it."""
        training, progress = self.recipe.training, self.progress
        start = time.perf_counter()
        record = self._learn(step)
        record["seconds"] = time.perf_counter() - start
        progress.position = step.position
        progress.short += round(record["short"])
        progress.replaced += round(record["replaced"])
        self._count_skipped(record["kept"] == 0)
        progress.bad_files.update(step.bad)
        self.stop = record.pop("stop") > 0
        if self.log:
            self.log.write(step.number, **record)
        bar.set_postfix_str(f"loss {record['total']:.5g}, {record['seconds']:.2f} s, lr {record['learning_rate']:.3g}")
        bar.update()
        last = progress.step == training.max_steps
        if self.validation and (last or progress.step % training.validation_interval == 0):
            self._validate()
        if progress.step % training.checkpoint_interval == 0:
            self._save()

    def _count_skipped(self, skipped: bool) -> None:
        self.progress.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if skipped:
            logger.warning("step %d was not finite and changed nothing", self.progress.step)
        if self.skipped_in_a_row == MOST_SKIPPED:
            raise InputError(
                f"{MOST_SKIPPED} steps in a row were not finite; go on from an older checkpoint with a lower "
                "learning_rate, or with dtype fp32 or bf16"
            )

    def _learn(self, step: Step) -> dict[str, float]:
        """Take the step; its figures, averaged over micro batches and ranks, counts summed over ranks."""
        training, parts = self.recipe.training, self.parts
        rate, disc_rate = (
            learning_rate(
                step.number,
                base,
                training.max_steps,
                training.warmup_steps,
                training.schedule,
                training.final_learning_rate_share,
            )
            for base in (training.learning_rate, training.disc_learning_rate)
        )
        sums = {}
        for micro, clip in enumerate(step.clips):
            noise = self._noise(step.number, micro, parts.forward.noise_shape(clip.shape))
            figures = parts.learn(Tensor(clip), noise, rate, disc_rate, step.number, self.progress)
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value / len(step.clips)
        norm, kept = parts.finish(rate)
        counts = {"short": step.short, "replaced": step.replaced, "stop": float(self.request.asked)}
        record = self._over_ranks({**sums, **{name: value * self.ranks for name, value in counts.items()}})
        record.update(frames=float(step.clips[0].shape[2]), learning_rate=rate, grad_norm=norm, kept=kept)
        if training.dtype == "fp16":
            record["loss_scale"] = float(parts.loss_scale.scale.asnumpy())
        return record

    def _noise(self, number: int, micro: int, shape: tuple[int, ...]) -> Tensor:
        """A function of seed, step and the clip's place among all clips of the step, whatever the number of ranks."""
        batch = shape[0]
        first = (micro * self.ranks + self.rank) * batch
        seeds = ([self.recipe.training.seed, NOISE, number, first + index] for index in range(batch))
        noise = [np.random.default_rng(seed).standard_normal(shape[1:], np.float32) for seed in seeds]
        return Tensor(np.stack(noise))

    def _over_ranks(self, figures: Mapping[str, float]) -> dict[str, float]:
        if self.ranks == 1:
            return dict(figures)
        packed = Tensor(np.asarray(list(figures.values()), np.float32))
        return dict(zip(figures, self.reduce((packed,))[0].asnumpy().tolist()))

    def _validation_data(self) -> DataConfig | None:
        """Where validation clips come from; checked at the start, not when the first validation is due."""
        training, data = self.recipe.training, self.recipe.data
        if training.validation_video_folder is None:
            return None
        config = replace(
            data,
            csv_path=training.validation_csv_path,
            video_folder=training.validation_video_folder,
            image_csv_path=None,
            image_folder=None,
            moving_image_ratio=0.0,
            mixed_strategy="image_only" if data.mixed_strategy == "image_only" else "mixed_video_image",
            sample_n_frames=training.validation_frames or max(2, data.sample_n_frames),
            image_size=training.validation_image_size or data.image_size,
            resize_to=None,
        )
        try:
            find_files(config)
        except InputError as error:
            raise InputError(f"validation clips: {error}") from None
        return config

    def _validate(self) -> None:
        folder = self.folder / "validation" / f"step_{self.progress.step:08d}"
        with self._averaged_weights():
            figures = validate(
                self.parts.model, self.parts.figures, self.validation, self.rank, self.ranks, self.reduce, folder
            )
            better = self.progress.best_psnr is None or figures["psnr"] > self.progress.best_psnr
            if better:
                self.progress.best_psnr = figures["psnr"]
            if self.rank == 0:
                if better:
                    self.parts.model.save(self.folder / "best.safetensors")
                self.log.write(self.progress.step - 1, **{f"validation_{name}": v for name, v in figures.items()})
                self.log.curves(self.folder / "curves.png")
        logger.info("step %d: validation %s", self.progress.step, json.dumps(figures))

    def _save(self) -> None:
        """A checkpoint, and the weights alone as a file that every other script takes."""
        if self.rank == 0:
            keep = self.recipe.training.keep_checkpoints
            state.save(self.checkpoints, self.parts.tensors, self.progress, self._learned(), keep)
            with self._averaged_weights():
                self.parts.model.save(self.folder / "last.safetensors")
            self.log.curves(self.folder / "curves.png")

    def _averaged_weights(self):
        return self.parts.ema.swapped() if self.parts.ema else nullcontext()

    def _write_bad_files(self, reasons: Mapping[str, str]) -> None:
        if reasons:
            write_bad_files(self.folder if self.rank == 0 else self.folder / f"rank{self.rank}", reasons)
