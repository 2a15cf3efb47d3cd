"""The training loop: data, steps, log, validation, checkpoints."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mg import distributed, runtime
from mg.data.loader import Step, TrainingData
from mg.data.plan import Share
from mg.errors import InputError
from mg.progress import show_progress
from mg.training import checkpoint
from mg.training.build import Parts
from mg.training.checkpoint import Progress
from mg.training.folder import RunFolder
from mg.training.learn import Draw, Learner, rates_at
from mg.training.log import RunLog
from mg.training.recipe import Recipe
from mg.training.stop import Stop
from mg.training.validate import Validation, validation_data

logger = logging.getLogger(__name__)

INTERRUPTED = 130
MOST_SKIPPED = 100


def train(recipe: Recipe, output_path: Path | str, resume: bool | str = False) -> int:
    """Train, and write everything to the run folder `output_path`: see docs/training.md.

    resume: True goes on from the newest checkpoint in the run folder, a path from that file; False begins.
    Returns 0, or 130 when SIGINT or SIGTERM ended the run: it has then been saved. Raises InputError.
    """
    training = recipe.training
    runtime.setup(training.device_target, training.mode, training.jit_level, training.dtype)
    rank, ranks = distributed.start()
    folder = RunFolder(output_path, rank)
    share = Share(training.batch_size, training.gradient_accumulation_steps, rank, ranks)
    with folder.held():
        return Run(recipe, folder, share, resume).go()


class Run:
    """One training run of one rank."""

    def __init__(self, recipe: Recipe, folder: RunFolder, share: Share, resume: bool | str):
        self.recipe, self.folder, self.share = recipe, folder, share
        if not resume and list(folder.checkpoints.glob("step_*")):
            raise InputError(
                f"'{folder.path}' holds a training already; go on with --resume, or name another --output_path"
            )
        clips = validation_data(recipe)
        self.parts = Parts(recipe, share.ranks)
        self.validation = None if clips is None else Validation(self.parts, clips, share)
        self.learner = Learner(self.parts, share.micro_batches)
        self.draw = Draw(self.parts.forward, recipe.training.seed, share)
        self.average = distributed.Average(share.ranks)
        self.learned = self._learned()
        self.progress = self._progress(resume)
        distributed.broadcast(self.parts.tensors.values(), share.ranks)

    def go(self) -> int:
        """Train up to max_steps or until stopped."""
        training, progress = self.recipe.training, self.progress
        data = TrainingData(self.recipe.data, training.seed, self.share, progress.position, progress.bad_files)
        log = self.folder.begin(self.recipe, self.parts.model, progress.step)
        bar = show_progress(total=training.max_steps, initial=progress.step, unit="step", disable=self.share.rank > 0)
        skipped, stopped, compiled = 0, False, set()
        with closing(iter(data)) as steps, bar, log, Stop() as request, self._bad_files_written(data):
            while progress.step < training.max_steps and not stopped:
                asked = time.perf_counter()
                step = self._next(steps, log)
                waited = time.perf_counter() - asked
                if (shape := step.clips[0].shape) not in compiled:
                    self._announce(bar, shape)
                    compiled.add(shape)
                record = {**self._learn(step, request.asked), "waited": waited}
                stopped = record.pop("stop") > 0
                progress.note(step, record)
                skipped = self._skipped_in_a_row(skipped, record)
                log.write(step.number, **record)
                _show(bar, record)
                last = progress.step == training.max_steps
                validates = self.validation and (last or progress.step % training.validation_interval == 0)
                if validates:
                    self._validate(log)
                if progress.step % training.checkpoint_interval == 0:
                    self._save(log)
                elif validates:
                    log.curves(self.folder.curves)
            if progress.step % training.checkpoint_interval:
                self._save(log)
        if stopped:
            logger.info("stopped and saved after %d steps; go on with --resume", progress.step)
            return INTERRUPTED
        logger.info("%d steps are done; the weights are %s", progress.step, self.folder.last)
        return 0

    def _announce(self, bar: tqdm, shape: tuple[int, ...]) -> None:
        """Say that the step is compiled for clips (B, 3, T, H, W), and about how long that takes."""
        what = "compiling for {2} frames of {4}x{3}".format(*shape)
        bar.set_postfix_str(what)
        if self.share.rank == 0 and runtime.in_graph_mode():
            logger.info("%s, which takes %s", what, runtime.compiling(len(self.parts.tensors)))

    def _learned(self) -> dict:
        """What a checkpoint remembers of how it came about: recipe, model and clips for each step of all ranks."""
        model = {f"model.{key}": value for key, value in self.parts.model.config.items()}
        clips = self.share.samples * self.share.ranks
        return json.loads(json.dumps({**self.recipe.as_mapping(), **model, "clips_per_step": clips}))

    def _progress(self, resume: bool | str) -> Progress:
        """Of a new run, or of the checkpoint that it goes on from, whose values all parts then have."""
        if not resume:
            return Progress()
        path = checkpoint.latest(self.folder.checkpoints) if resume is True else Path(resume)
        progress = checkpoint.load(path, self.parts.tensors, self.learned, self.recipe.defaults())
        logger.info("resumed from %s, %d steps done", path, progress.step)
        return progress

    def _next(self, steps: Iterator[Step], log: RunLog) -> Step:
        """The next step's clips; what was learned so far is saved if there are none."""
        try:
            return next(steps)
        except InputError:
            self._save(log)
            raise

    def _learn(self, step: Step, stop: bool) -> dict[str, float]:
        """Take a step; its figures are means over micro batches and ranks, its counts sums over ranks.

        stop: whether this rank was asked to stop; the sum of these is in the figures.
        """
        start = time.perf_counter()
        rates, batches = rates_at(step.number, self.recipe), self.draw.batches(step.number, step.clips)
        figures, ratio = self.learner.step(step.number, batches, rates, self.progress.adversarial_weight)
        self.progress.adversarial_weight = ratio
        taken = {name: figures.pop(name) for name in ("grad_norm", "kept")}
        counts = {"short": step.short, "replaced": step.replaced, "stop": float(stop)}
        record = self._over_ranks({**figures, **{name: value * self.share.ranks for name, value in counts.items()}})
        record.update(frames=float(step.clips[0].shape[2]), learning_rate=rates.model, **taken)
        if self.recipe.training.dtype == "fp16":
            record["loss_scale"] = float(self.parts.loss_scale.scale.asnumpy())
        record["seconds"] = time.perf_counter() - start
        return record

    def _over_ranks(self, figures: Mapping[str, float]) -> dict[str, float]:
        if self.share.ranks == 1:
            return dict(figures)
        packed = Tensor(np.asarray(list(figures.values()), np.float32))
        return dict(zip(figures, self.average((packed,))[0].asnumpy().tolist()))

    def _skipped_in_a_row(self, before: int, record: Mapping[str, float]) -> int:
        """How many steps in a row changed nothing, `before` at the last; InputError when they are too many."""
        if record["kept"]:
            return 0
        logger.warning("step %d was not finite and changed nothing", self.progress.step)
        if before + 1 == MOST_SKIPPED:
            raise InputError(
                f"{MOST_SKIPPED} steps in a row were not finite; go on from an older checkpoint with a lower "
                "learning_rate, or with dtype fp32 or bf16"
            )
        return before + 1

    def _validate(self, log: RunLog) -> None:
        step = self.progress.step
        with self.parts.averaged():
            figures = self.validation.run(step - 1, self.folder.pictures(step))
            if self.progress.is_best(figures["psnr"]):
                self.folder.save_best(self.parts.model)
        log.write(step - 1, **{f"validation_{name}": value for name, value in figures.items()})
        shown = ", ".join(f"{name} {value:.5g}" for name, value in figures.items())
        logger.info("step %d: validation %s", step, shown)

    def _save(self, log: RunLog) -> None:
        self.folder.save(self.parts, self.progress, self.learned, self.recipe.training.keep_checkpoints)
        log.curves(self.folder.curves)

    @contextmanager
    def _bad_files_written(self, data: TrainingData) -> Iterator[None]:
        """When the block ends, the files that could not be read are listed."""
        try:
            yield
        finally:
            self.folder.write_bad_files({**self.progress.bad_files, **data.bad_files})


def _show(bar: tqdm, record: Mapping[str, float]) -> None:
    bar.set_postfix_str(f"loss {record['total']:.5g}, {record['seconds']:.2f} s, lr {record['learning_rate']:.3g}")
    bar.update()
