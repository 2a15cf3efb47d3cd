"""The clips of one process: opened, computed in batches, scored, written."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from mg.errors import InputError, OutputError
from mg.evaluation.report import SPATIAL, summary
from mg.evaluation.round_trip import generator_of, round_trip, with_image_model
from mg.evaluation.tally import ClipScores, Tally, is_of_sets
from mg.inference.clips import Source
from mg.inference.options import Options
from mg.inference.outputs import Outputs, Saving
from mg.io.clip import Clip, open_clip
from mg.models.session import Session
from mg.progress import show_progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A numbered source that is open."""

    number: int
    source: Source
    clip: Clip

    @property
    def size(self) -> tuple[int, int, int]:
        """Frames, height and width."""
        return (self.clip.total, *self.clip.size)


@dataclass
class Work:
    """What one rank does.

    only: there is one input, whose error is raised. writes: whether scores and files are this rank's to make, and not
    those of another that computes the same clips with it.
    """

    session: Session
    options: Options
    tally: Tally
    output: Path
    saving: Saving
    only: bool
    writes: bool = True
    failed: int = 0

    @property
    def graphs(self) -> int:
        """How many were compiled."""
        return self.session.graphs + (self.saving.images.graphs if self.saving.images else 0)

    def run(self, sources: list[tuple[int, Source]], quiet: bool) -> None:
        """All sources, those of one shape together, so that each shape is compiled once."""
        with show_progress(total=len(sources), desc="all", unit="clip", disable=quiet or self.only) as bar:
            for opened in self._by_shape(sources):
                for _, group in groupby(sorted(opened, key=lambda one: one.size), lambda one: one.size):
                    self._group(list(group))
                bar.update(len(opened))
            bar.update(bar.total - bar.n)  # those that could not be opened

    def _by_shape(self, sources: list[tuple[int, Source]]) -> Iterator[list[Opened]]:
        """Open clips, up to batch_size at a time, shape after shape; those whose turn comes later are opened again."""
        shape, later, batch = None, {}, []
        for numbered in sources:
            for one in self._open(*numbered):
                own = self.session.shape_of(*one.size)
                shape = shape or own
                if own != shape:
                    later.setdefault(own, []).append(numbered)
                    continue
                batch.append(one)
                if len(batch) == self.options.batch_size:
                    yield batch
                    batch = []
        if batch:
            yield batch
        for same in later.values():
            yield from self._by_shape(same)

    def _open(self, number: int, source: Source) -> list[Opened]:
        """The clip, in memory where several are computed at once; nothing, if it fails."""
        try:
            with self.session.model.team.agreed():
                clip = open_clip(source.path, self.options.sampling)
                if self.options.batch_size > 1:
                    frames = list(clip.frames)
                    clip = replace(clip, frames=frames, total=len(frames))
            return [Opened(number, source, clip)]
        except InputError as error:
            self._fail(number, source, error)
            return []

    def _group(self, group: list[Opened]) -> None:
        """Clips of one size. If one fails, each is computed by itself, so that it is known which."""
        try:
            self._score(group)
        except OutputError:
            raise
        except InputError as error:
            if len(group) == 1:
                self._fail(group[0].number, group[0].source, error)
            else:
                for one in group:
                    self._group([one])

    def _fail(self, number: int, source: Source, error: InputError) -> None:
        if self.only:
            raise error
        if not self.writes:
            return
        self.failed += 1
        self.tally.fail(number, source.name, str(error))
        logger.error("error: %s: %s", source.name, error)

    def _score(self, group: list[Opened]) -> None:
        clips, sources = [one.clip for one in group], [one.source for one in group]
        seed = self.options.seed
        generators = [generator_of(source.name, seed) for source in sources] if self.options.sample else None
        compiles = self.session.prepare(*group[0].size)
        steps = round_trip(self.session, clips, self.options.batch_size, generators)
        name = sources[0].name + (f" and {len(clips) - 1} more" if len(clips) > 1 else "")
        with self.session.model.team.agreed(steps), ExitStack() as stack:
            if not self.writes:
                deque(steps, maxlen=0)
                return
            if self.saving.images is not None:
                steps = with_image_model(self.saving.images, steps)
            results = [stack.enter_context(self._result(one)) for one in group]
            bar = stack.enter_context(show_progress(total=clips[0].total, unit="frame", leave=self.only))
            bar.counts_computed = self.saving.images is None
            bar.set_description(f"{name}: compiling" if compiles else name)
            for pictures in steps:
                for index, result in enumerate(results):
                    result.add(*(batch[index] for batch in pictures))
                if bar.n == 0:
                    bar.set_description(name)
                bar.update()
            finished = [result.finish() for result in results]
        for one, (row, scores) in zip(group, finished):  # their files are whole by now
            self.tally.keep(one.number, row, scores)
            logger.info("%s: %s", one.source.name, summary(row))

    def _result(self, one: Opened) -> Result:
        files = Outputs(self.output, one.source, one.clip, self.saving)
        of_images = [metric for metric in self.tally.metrics if not is_of_sets(metric)] if self.saving.images else []
        return Result(one, files, ClipScores(self.tally.metrics), ClipScores(of_images))


class Result:
    """Figures and files of one clip; a context like its files."""

    def __init__(self, opened: Opened, files: Outputs, scores: ClipScores, spatial: ClipScores):
        self.opened, self.files, self.scores, self.spatial = opened, files, scores, spatial
        self.count = 0

    def add(self, original: np.ndarray, recon: np.ndarray, spatial: np.ndarray | None = None) -> None:
        """The next frame of each, (H, W, 3) uint8; spatial: of the image model alone."""
        self.scores.add(original, recon)
        if spatial is not None:
            self.spatial.add(original, spatial)
        self.files.add(original, recon, spatial)
        self.count += 1

    def finish(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        """The row of the report, and all scores by metric."""
        clip = self.opened.clip
        height, width = clip.size
        scores, means = self.scores.finish()
        _, spatial = self.spatial.finish()
        row = {
            "file": self.opened.source.name,
            "kind": "image" if clip.fps is None else "video",
            **{"frames": self.count, "width": width, "height": height},
            **({} if clip.fps is None else {"fps": str(clip.fps)}),
            **means,
            **{f"{SPATIAL}{name}": value for name, value in spatial.items()},
        }
        self.files.draw_sheet(summary(row))
        return row, scores

    def __enter__(self) -> Result:
        self.files.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.files.__exit__(*error)
