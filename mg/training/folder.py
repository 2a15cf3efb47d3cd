"""The run folder: everything that a training writes, and by which rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mg.config import write_recipe
from mg.files import make_folder
from mg.locks import hold_folder
from mg.models.autoencoder import Autoencoder
from mg.training import checkpoint
from mg.training.build import Parts
from mg.training.checkpoint import Progress
from mg.training.log import RunLog, SilentLog, text_log, write_bad_files
from mg.training.recipe import Recipe


class RunFolder:
    """Rank 0 writes; of other ranks there are their validation pictures and bad files alone."""

    def __init__(self, path: Path | str, rank: int = 0):
        self.path, self.rank = make_folder(path), rank
        self.checkpoints = self.path / "checkpoints"
        self.last = self.path / "last.safetensors"
        self.curves = self.path / "curves.png"

    @contextmanager
    def held(self) -> Iterator[None]:
        """While the block runs, no other run writes here, and what is logged is in train.log too."""
        with hold_folder(self.path, self.rank) as self._held:
            if self.rank > 0:
                yield
                return
            with text_log(self.path / "train.log"):
                yield

    def begin(self, recipe: Recipe, model: Autoencoder, step: int) -> RunLog | SilentLog:
        """Write what is to be trained, and open the log at `step`; later checkpoints are set aside."""
        if self.rank > 0:
            return SilentLog()
        checkpoint.set_aside(self.checkpoints, step)
        write_recipe(self.path / "config.yaml", recipe.as_mapping())
        sizes = {name: list(value) if isinstance(value, tuple) else value for name, value in model.config.items()}
        write_recipe(self.path / "model.yaml", sizes)
        return RunLog(self.path, step)

    def save(self, parts: Parts, progress: Progress, learned: Mapping[str, Any], keep: int) -> None:
        """A checkpoint, of which the last `keep` stay, and the weights alone as a file that every script takes."""
        if self.rank == 0:
            self._held.check()
            checkpoint.save(self.checkpoints, parts.tensors, progress, learned, keep)
            with parts.averaged():
                parts.model.save(self.last)

    def save_best(self, model: Autoencoder) -> None:
        """The weights of the best validation."""
        if self.rank == 0:
            model.save(self.path / "best.safetensors")

    def pictures(self, step: int) -> Path:
        """Where a validation's pictures go."""
        return self.path / "validation" / f"step_{step:08d}"

    def write_bad_files(self, reasons: Mapping[str, str]) -> None:
        """The files that could not be read, and why."""
        if reasons:
            write_bad_files(self.path if self.rank == 0 else self.path / f"rank{self.rank}", reasons)
