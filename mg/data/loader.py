"""Training steps without end: files are read ahead by threads, and what comes out depends on no timing."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from math import ceil

import numpy as np

from mg.checks import require_whole
from mg.data.bad_files import BadFiles
from mg.data.clip import read_training_clip
from mg.data.config import DataConfig
from mg.data.file_lists import find_files
from mg.data.plan import IMAGE, VIDEO, Position, Sample, Share, StepPlan, choices, plan_steps, replacements
from mg.errors import InputError
from mg.io.pixels import to_clip

logger = logging.getLogger(__name__)

_MOST_REPLACEMENTS = 100  # so that a list with nothing good in it ends soon


@dataclass(frozen=True)
class Step:
    """What one rank learns from in one optimizer step.

    number: counts from 0. kind: "video" or "image". clips: one (B, 3, T, H, W) fp32 in [-1, 1] for each micro batch.
    position: where to go on after this step, the same on all ranks. short: clips whose last frame was repeated.
    replaced: clips of which the first file chosen could not be read. bad: files newly found bad, and why.
    """

    number: int
    kind: str
    clips: list[np.ndarray]
    position: Position
    short: int
    replaced: int
    bad: Mapping[str, str]


@dataclass(frozen=True)
class _Read:
    """A sample that was read: clip (3, T, H, W), None if nothing could be; each file tried and why it is bad."""

    clip: np.ndarray | None
    short: bool
    outcomes: list[tuple[str, str | None]]


class TrainingData:
    """The steps of one rank, from `position` on.

    position: of a checkpoint; None starts at the beginning. bad_files: those that earlier runs found, which are not
    reported again; as an attribute, what the iteration found so far and why, also once it has ended with an error.
    Raises InputError when there is nothing to read; iteration does when too many files cannot be read.
    """

    def __init__(
        self,
        config: DataConfig,
        seed: int,
        share: Share,
        position: Position | None = None,
        bad_files: Iterable[str] = (),
    ):
        require_whole("seed", seed, 0)
        found = find_files(config)
        logger.info("learning from %d videos and %d images", len(found.videos), len(found.images))
        self.config, self.seed, self.share, self.position = config, seed, share, position or Position()
        self.files = {VIDEO: found.videos, IMAGE: found.images}
        self.bad_files: dict[str, str] = {}
        self._known_bad = tuple(bad_files)

    def __iter__(self) -> Iterator[Step]:
        """Yield steps for ever; closing the iterator ends its threads."""
        bad_files = BadFiles(len(set().union(*self.files.values())), self.config.max_bad_share, self._known_bad)
        self.bad_files = bad_files.reasons
        sizes = {source: len(files) for source, files in self.files.items()}
        plans = plan_steps(self.config, sizes, self.seed, self.share, self.position)
        pool = ThreadPoolExecutor(self.config.num_workers, "read_clips")
        try:
            for plan, reads in self._read_ahead(pool, plans):
                yield _assemble(plan, [read.result() for read in reads], bad_files)
        finally:
            pool.shutdown(cancel_futures=True)  # waits for the clips that are being read, not for those to come

    def _read_ahead(
        self, pool: ThreadPoolExecutor, plans: Iterator[StepPlan]
    ) -> Iterator[tuple[StepPlan, list[Future]]]:
        """Each plan with its samples under way; so many steps are begun that twice num_workers samples are ahead."""
        ahead = 1 + ceil(2 * self.config.num_workers / self.share.samples)
        begun = deque()
        while True:
            for plan in islice(plans, ahead - len(begun)):
                samples = (sample for batch in plan.samples for sample in batch)
                begun.append((plan, [pool.submit(self._read, sample) for sample in samples]))
            yield begun.popleft()

    def _read(self, sample: Sample) -> _Read:
        """Read a sample, or the first of its replacements that can be read.

        Files known to be bad are tried again: if others were taken at once, the outcome would depend on who was first.
        """
        files, outcomes = self.files[sample.source], []
        for attempt, index in enumerate(self._candidates(sample)):
            try:
                random = choices(self.seed, sample, attempt)
                frames, short = read_training_clip(files[index], sample.shape, self.config, random)
            except (InputError, OSError) as error:
                outcomes.append((str(files[index]), str(error)))
                continue
            outcomes.append((str(files[index]), None))
            return _Read(np.ascontiguousarray(to_clip(frames)), short, outcomes)
        return _Read(None, False, outcomes)

    def _candidates(self, sample: Sample) -> Iterator[int]:
        yield sample.index
        yield from replacements(self.seed, sample, len(self.files[sample.source]))[:_MOST_REPLACEMENTS]


def _assemble(plan: StepPlan, reads: list[_Read], bad_files: BadFiles) -> Step:
    bad = bad_files.record(outcome for read in reads for outcome in read.outcomes)
    for read in reads:
        if read.clip is None:
            raise InputError(
                f"{len(read.outcomes)} files in a row cannot be read, the first being: {read.outcomes[0][1]}"
            )
    clips = iter(read.clip for read in reads)
    batches = [np.stack(list(islice(clips, len(batch)))) for batch in plan.samples]
    kind = IMAGE if plan.shape[0] == 1 else VIDEO
    short, replaced = (sum(counts) for counts in zip(*((read.short, len(read.outcomes) > 1) for read in reads)))
    return Step(plan.number, kind, batches, plan.position, short, replaced, bad)
