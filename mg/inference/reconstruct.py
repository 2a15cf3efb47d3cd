"""Files through an autoencoder and back: reconstructions, pictures and figures."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mg.distributed import total
from mg.errors import InputError
from mg.evaluation.report import SPATIAL, clear_report, summary, summary_of, write_report
from mg.evaluation.round_trip import generator_of, round_trip, with_image_model
from mg.evaluation.tally import ClipScores, Tally, is_of_sets
from mg.files import make_folder, sha256
from mg.inference.clips import Source
from mg.inference.options import Options
from mg.inference.outputs import SAVED, Outputs, clip_folders
from mg.io.clip import Clip, open_clip
from mg.metrics.choose import choose_metrics
from mg.metrics.metric import Metric
from mg.models.session import CHUNK_PIXELS, Session

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saving:
    """What is written beside the figures.

    videos: "none", "side_by_side" (and contact sheets), or "all" (reconstructions as well).
    folders: originals and reconstructions also as clips of equal names, in folders of their own.
    images: a session of a model that reconstructs each frame by itself too, or None. output_fps: the constant rate of
    videos; None: the source's, or its times where it varies.
    """

    videos: str = "all"
    folders: bool = False
    images: Session | None = None
    output_fps: Fraction | None = None

    def __post_init__(self):
        if self.videos not in SAVED:
            raise InputError(f"save_videos={self.videos!r} is unknown; use one of {', '.join(SAVED)}")


def reconstruct(
    session: Session,
    sources: Sequence[Source],
    output_path: Path | str = "samples/recons",
    options: Options = Options(),
    metrics: Sequence[Metric] | None = None,
    saving: Saving = Saving(),
    place: tuple[int, int] = (0, 1),
) -> int:
    """Reconstruct videos and images, and write what came out to `output_path`: see docs/evaluation.md.

    metrics: None takes PSNR and SSIM. place: this process among those that share the sources, (rank, ranks); rank 0
    writes the report. Returns the number of inputs that could not be used, of all ranks: each is named in the log and
    in metrics.json. A single input that cannot be used raises its InputError.
    """
    started, (rank, ranks) = time.monotonic(), place
    if saving.folders:
        _keep_originals(sources, Path(output_path))
    output = make_folder(output_path)
    tally = Tally(output, choose_metrics(("psnr", "ssim")) if metrics is None else metrics)
    if rank == 0:
        tally.clear()
        clear_report(output)
    total(0, ranks)
    try:
        options = replace(options, batch_size=min(options.batch_size, len(sources)))
        protocol = _protocol(session, options)  # now, since the weights' file need not outlive the work
        work = _Work(session, options, tally, output, saving, only=len(sources) == 1)
        work.run(_share(sources, options.batch_size, rank, ranks), quiet=rank > 0)
        failed = total(work.failed, ranks)  # by then all ranks are through
        if rank == 0:
            graphs = session.graphs + (saving.images.graphs if saving.images else 0)
            run = {"seconds": round(time.monotonic() - started, 1), "ranks": ranks, "graphs_compiled": graphs}
            model = session.model
            group = model.window_frames(2) - model.window_frames(1)
            report = write_report(output, tally, protocol, run, group)
            logger.info("mean: %s", summary_of(report))
            logger.info("%d reconstructed, %d failed; results are in %s", len(report["clips"]), failed, output)
    finally:
        if rank == 0:
            tally.clear()
    return failed


def _share(sources: Sequence[Source], batch: int, rank: int, ranks: int) -> list[tuple[int, Source]]:
    """Every `ranks`-th batch of the numbered sources, from the `rank`-th on."""
    numbered = list(enumerate(sources))
    starts = range(rank * batch, len(numbered), ranks * batch)
    return [one for start in starts for one in numbered[start : start + batch]]


@dataclass(frozen=True)
class _Opened:
    """A numbered source that is open."""

    number: int
    source: Source
    clip: Clip

    @property
    def size(self) -> tuple[int, int, int]:
        return (self.clip.total, *self.clip.size)


@dataclass
class _Work:
    """What one rank does."""

    session: Session
    options: Options
    tally: Tally
    output: Path
    saving: Saving
    only: bool
    failed: int = 0

    def run(self, sources: list[tuple[int, Source]], quiet: bool) -> None:
        """All sources, those of one shape together, so that each shape is compiled once."""
        with tqdm(total=len(sources), desc="all", unit="clip", disable=quiet or self.only) as bar:
            for opened in self._by_shape(sources):
                for _, group in groupby(sorted(opened, key=lambda one: one.size), lambda one: one.size):
                    self._group(list(group))
                bar.update(len(opened))
            bar.update(bar.total - bar.n)  # those that could not be opened

    def _by_shape(self, sources: list[tuple[int, Source]]) -> Iterator[list[_Opened]]:
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

    def _open(self, number: int, source: Source) -> list[_Opened]:
        """The clip, in memory where several are computed at once; nothing, if it fails."""
        try:
            clip = open_clip(source.path, self.options.sampling)
            if self.options.batch_size > 1:
                frames = list(clip.frames)
                clip = replace(clip, frames=frames, total=len(frames))
            return [_Opened(number, source, clip)]
        except InputError as error:
            self._fail(number, source, error)
            return []

    def _group(self, group: list[_Opened]) -> None:
        """Clips of one size. If one fails, each is computed by itself, so that it is known which."""
        try:
            self._score(group)
        except InputError as error:
            if len(group) == 1:
                self._fail(group[0].number, group[0].source, error)
            else:
                for one in group:
                    self._group([one])

    def _fail(self, number: int, source: Source, error: InputError) -> None:
        if self.only:
            raise error
        self.failed += 1
        self.tally.fail(number, source.name, str(error))
        logger.error("error: %s: %s", source.name, error)

    def _score(self, group: list[_Opened]) -> None:
        clips, sources = [one.clip for one in group], [one.source for one in group]
        seed = self.options.seed
        generators = [generator_of(source.name, seed) for source in sources] if self.options.sample else None
        compiles = self.session.prepare(*group[0].size)
        steps = round_trip(self.session, clips, self.options.batch_size, generators)
        if self.saving.images is not None:
            steps = with_image_model(self.saving.images, steps)
        name = sources[0].name + (f" and {len(clips) - 1} more" if len(clips) > 1 else "")
        with ExitStack() as stack:
            results = [stack.enter_context(self._result(one)) for one in group]
            bar = stack.enter_context(tqdm(total=clips[0].total, unit="frame", leave=self.only))
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

    def _result(self, one: _Opened) -> _Result:
        saving = self.saving
        files = Outputs(self.output, one.source, one.clip, saving.videos, saving.folders, saving.output_fps)
        of_images = [metric for metric in self.tally.metrics if not is_of_sets(metric)] if self.saving.images else []
        return _Result(one, files, ClipScores(self.tally.metrics), ClipScores(of_images))


class _Result:
    """Figures and files of one clip; a context like its files."""

    def __init__(self, opened: _Opened, files: Outputs, scores: ClipScores, spatial: ClipScores):
        self.opened, self.files, self.scores, self.spatial = opened, files, scores, spatial
        self.count = 0

    def add(self, original: np.ndarray, recon: np.ndarray, spatial: np.ndarray | None = None) -> None:
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

    def __enter__(self) -> _Result:
        self.files.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.files.__exit__(*error)


def _keep_originals(sources: Sequence[Source], output: Path) -> None:
    """Raise InputError if a source lies where clips of its name are to be written."""
    folders = {folder.resolve() for folder in clip_folders(output)}
    for source in sources:
        if folders & set(source.path.resolve().parents):
            raise InputError(f"'{source.path}' lies where save_folders writes clips; name another output folder")


def _protocol(session: Session, options: Options) -> dict[str, object]:
    model, sampling = session.model, asdict(options.sampling)
    shown = {key: str(value) if key == "sample_fps" and value is not None else value for key, value in sampling.items()}
    whole = f"whole frames, in windows of about {CHUNK_PIXELS} pixels"
    return {
        "family": model.family,
        "latents": "a sample" if options.sample else "the likeliest: the mean of a posterior, or the codes",
        "rounding": "clipped to [-1, 1], rounded to the nearest of 256 levels",
        "resize": "cover, then centre crop" if options.sampling.image_size else "none",
        "tiles": asdict(session.tiles) if session.use_tile else whole,
        "options": {**shown, "sample": options.sample, "seed": options.seed},
        "batch_size": options.batch_size,
        "dtype": str(model.compute_dtype),
        "device": ms.get_context("device_target"),
        "weights": None if model.weights_path is None else model.weights_path.name,
        "weights_sha256": None if model.weights_path is None else sha256(model.weights_path),
        "config": dict(model.config),
    }
