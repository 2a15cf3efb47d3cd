"""The scores of all clips of an evaluation, whichever rank made them."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from mg.errors import InputError, OutputError
from mg.files import whole_file
from mg.metrics.metric import Metric, SetMetric

_FOLDER = ".scores"
_RUN = "run"  # the file that says whose scores these are
logger = logging.getLogger(__name__)


class Tally:
    """Keeps the scores of each clip in a file of its own until all ranks are through, so that sums have one order.

    folder: where results go, the same for all ranks. names: of all clips, in their order.
    """

    def __init__(self, folder: Path, metrics: Sequence[Metric], names: Sequence[str]):
        self.folder, self.metrics, self.names = folder / _FOLDER, metrics, names

    def begin(self, about: Mapping[str, object], resume: bool) -> None:
        """Forget everything; or, to resume, what failed alone. For rank 0, at the start.

        about: all that scores depend on, and what is written beside them, as JSON has it. Raises InputError if what is
        to be resumed was about something else.
        """
        about = json.loads(json.dumps({**about, "clips": list(self.names)}))
        before = self._before() if resume else None
        if before is None:
            self.clear()
            with whole_file(self.folder / _RUN) as part:
                part.write_text(json.dumps(about))
            return
        changed = [key for key in {**before, **about} if before.get(key) != about.get(key)]
        if changed:
            raise InputError(
                f"'{self.folder.parent}' holds scores of a run with other {', '.join(changed[:5])}; resume with "
                "the same command, or leave --resume out to begin anew"
            )
        for path in self.folder.glob("*.json"):
            path.unlink()
        logger.info("%d of %d clips are finished already", len(self.finished()), len(self.names))

    def _before(self) -> dict[str, object] | None:
        """What an interrupted run was about, if there is one."""
        try:
            return json.loads((self.folder / _RUN).read_text())
        except (OSError, ValueError):
            logger.info("there is nothing to go on from in '%s': all clips are computed", self.folder.parent)
            return None

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finished(self) -> set[int]:
        """Numbers of the clips that have scores."""
        return {int(path.stem) for path in self.folder.glob("*.npz")}

    def unfinished(self) -> list[str]:
        """Names of the clips that have neither scores nor failed."""
        there = self.finished() | {int(path.stem) for path in self.folder.glob("*.json")}
        return [name for number, name in enumerate(self.names) if number not in there]

    def keep(self, number: int, row: dict[str, object], scores: dict[str, np.ndarray]) -> None:
        """What there is to say of clip `number`, and its scores by metric.

        Raises OutputError if what was kept before is gone.
        """
        if not (self.folder / _RUN).is_file():
            raise OutputError(f"'{self.folder.parent}' was removed or replaced during the run; run it again")
        content = BytesIO()  # what NumPy leaves open when a disk is full complains once more later
        np.savez(content, row=json.dumps(row), **scores)
        with whole_file(self.folder / f"{number:08}.npz") as part:
            part.write_bytes(content.getbuffer())

    def fail(self, number: int, name: str, why: str) -> None:
        """Clip `number` could not be used."""
        with whole_file(self.folder / f"{number:08}.json") as part:
            part.write_text(json.dumps({"file": name, "why": why}))

    def failed(self) -> list[dict[str, str]]:
        """What failed, in the order of the clips."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]

    def kept(self) -> Iterator[tuple[dict[str, object], dict[str, np.ndarray]]]:
        """(row, scores) of each clip, in their order."""
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path) as arrays:
                yield (
                    json.loads(str(arrays["row"])),
                    {name: arrays[name] for name in arrays.files if name != "row"},
                )

    def distances(self) -> dict[str, dict[str, float | int | None]]:
        """The figures of the metrics that are of the whole set, and of how many features; None of too few."""
        return {metric.name: self._distance(metric) for metric in self.metrics if is_of_sets(metric)}

    def _distance(self, metric: SetMetric) -> dict[str, float | int | None]:
        count = sum(scores[metric.name].shape[1] for _, scores in self.kept())
        try:
            value = metric.distance(scores[metric.name] for _, scores in self.kept())
        except InputError as error:
            logger.error("error: no %s: %s", metric.name, error)
            value = None
        return {"value": value, "features": count}


class ClipScores:
    """The scores of one clip by all metrics."""

    def __init__(self, metrics: Sequence[Metric]):
        self.metrics = metrics
        self.scorers = [metric.scorer() for metric in metrics]

    def add(self, original: np.ndarray, recon: np.ndarray) -> None:
        """The next frame of both, (H, W, 3) uint8."""
        for scorer in self.scorers:
            scorer.add(original, recon)

    def finish(self) -> tuple[dict[str, np.ndarray], dict[str, float | None]]:
        """All scores by metric; and the means of those that score single clips, None where there is no score."""
        scores = {metric.name: scorer.finish() for metric, scorer in zip(self.metrics, self.scorers)}
        means = {}
        for metric in self.metrics:
            if not is_of_sets(metric):
                values = scores[metric.name]
                means[metric.name] = float(values.mean()) if len(values) else None
                if not np.isfinite(values).all():
                    raise InputError(f"{metric.name} is not finite for a frame; leave it out with --metric")
        return scores, means


def is_of_sets(metric: Metric) -> bool:
    """Whether a metric has one figure for a set of clips, such as FID, and none for a single one."""
    return hasattr(metric, "distance")
