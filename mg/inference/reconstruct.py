"""Files through the autoencoder and back: reconstructions, pictures and figures."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mg.data.sample_clip import FPS, FRAMES, draw_sample_clip
from mg.errors import InputError
from mg.files import make_folder
from mg.inference.models import CHUNK_PIXELS, Models
from mg.inference.options import Options
from mg.inference.outputs import SAVED, Outputs, clip_folders
from mg.inference.round_trip import round_trip, with_spatial
from mg.inference.clips import Clip, Source, open_clip
from mg.io import video
from mg.metrics.choose import choose_metrics
from mg.metrics.metric import Metric
from mg.evaluation.report import SPATIAL, clear_report, summary, summary_of, write_report
from mg.evaluation.tally import ClipScores, Tally, is_of_sets
from mg.distributed import total

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saving:
    """What is written beside the figures.

    videos: "none", "side_by_side" (and contact sheets), or "all" (reconstructions as well).
    folders: originals and reconstructions also as clips of equal names, in folders of their own.
    spatial: reconstruct by the image model alone too, each frame by itself.
    """

    videos: str = "all"
    folders: bool = False
    spatial: bool = False

    def __post_init__(self):
        if self.videos not in SAVED:
            raise InputError(f"save_videos={self.videos!r} is unknown; use one of {', '.join(SAVED)}")


def reconstruct(
    sources: Sequence[Source] | None = None,
    ckpt_path: Path | str | None = None,
    output_path: Path | str = "samples/recons",
    dtype: str = "auto",
    options: Options = Options(),
    metrics: Sequence[Metric] | None = None,
    saving: Saving = Saving(),
    batch_size: int = 1,
    rank: int = 0,
    ranks: int = 1,
) -> int:
    """Reconstruct videos and images, and write what came out to `output_path`: see docs/evaluation.md.

    sources: None draws a sample clip there. ckpt_path: None takes the model that ships with the package.
    metrics: None takes PSNR and SSIM. batch_size: clips that go through the model at once; above 1 they are read whole.
    ranks share the sources; rank 0 writes the report. Returns the number of inputs that could not be used, of all
    ranks: each is named in the log and in metrics.json. A single input that cannot be used raises its InputError.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size} must be at least 1")
    started = time.monotonic()
    if saving.folders:
        _keep_originals(sources or [], Path(output_path))
    models = Models(ckpt_path, dtype, options.tiles)
    images = Models(ckpt_path, dtype, options.tiles) if saving.spatial else None
    output = make_folder(output_path)
    tally = Tally(output, choose_metrics(("psnr", "ssim")) if metrics is None else metrics)
    if rank == 0:
        tally.clear()
        clear_report(output)
    total(0, ranks)
    try:
        sources = [_draw_sample(output / "sample_clip.mp4")] if sources is None else sources
        batch_size = min(batch_size, len(sources))
        work = _Work(models, images, options, tally, output, saving, batch_size, only=len(sources) == 1)
        work.run(list(enumerate(sources)), rank, ranks)
        failed = total(work.failed, ranks)  # by then all ranks are through
        if rank == 0:
            graphs = models.graphs + (images.graphs if images else 0)
            run = {"seconds": round(time.monotonic() - started, 1), "ranks": ranks, "graphs_compiled": graphs}
            report = write_report(output, tally, _protocol(models, options, batch_size), run, models.compression[0])
            logger.info("mean: %s", summary_of(report))
            logger.info("%d reconstructed, %d failed; results are in %s", len(report["clips"]), failed, output)
    finally:
        if rank == 0:
            tally.clear()
    return failed


@dataclass
class _Work:
    """What one rank does."""

    models: Models
    images: Models | None
    options: Options
    tally: Tally
    output: Path
    saving: Saving
    batch_size: int
    only: bool
    failed: int = 0

    def run(self, sources: list[tuple[int, Source]], rank: int, ranks: int) -> None:
        """Every `ranks`-th batch of the numbered sources, from the `rank`-th on."""
        starts = range(rank * self.batch_size, len(sources), ranks * self.batch_size)
        batches = [sources[start : start + self.batch_size] for start in starts]
        with tqdm(total=sum(map(len, batches)), desc="all", unit="clip", disable=rank > 0 or self.only) as bar:
            for batch in batches:
                opened = [clip for number, source in batch for clip in self._open(number, source)]
                for _, group in groupby(sorted(opened, key=_shape), _shape):
                    self._group(list(group))
                bar.update(len(batch))

    def _open(self, number: int, source: Source) -> list[tuple[int, Clip]]:
        """The clip, in memory where several are computed at once; nothing, if it fails."""
        try:
            clip = open_clip(source, self.options)
            if self.batch_size > 1:
                frames = list(clip.frames)
                clip = replace(clip, frames=frames, total=len(frames))
            return [(number, clip)]
        except InputError as error:
            self._fail(number, source, error)
            return []

    def _group(self, group: list[tuple[int, Clip]]) -> None:
        """Clips of one shape. If one fails, each is computed by itself, so that it is known which."""
        try:
            self._score(group)
        except InputError as error:
            if len(group) == 1:
                self._fail(group[0][0], group[0][1].source, error)
            else:
                for numbered in group:
                    self._group([numbered])

    def _fail(self, number: int, source: Source, error: InputError) -> None:
        if self.only:
            raise error
        self.failed += 1
        self.tally.fail(number, source.name, str(error))
        logger.error("error: %s: %s", source.name, error)

    def _score(self, group: list[tuple[int, Clip]]) -> None:
        clips = [clip for _, clip in group]
        steps = round_trip(self.models, clips, self.options, self.batch_size)
        if self.images is not None:
            steps = with_spatial(self.images, steps)
        name = clips[0].source.name + (f" and {len(clips) - 1} more" if len(clips) > 1 else "")
        with ExitStack() as stack:
            results = [stack.enter_context(self._result(clip)) for clip in clips]
            bar = stack.enter_context(tqdm(total=clips[0].total, desc=name, unit="frame", leave=self.only))
            for pictures in steps:
                for index, result in enumerate(results):
                    result.add(*(batch[index] for batch in pictures))
                bar.update()
            finished = [result.finish() for result in results]
        for (number, clip), (row, scores) in zip(group, finished):  # their files are whole by now
            self.tally.keep(number, row, scores)
            logger.info("%s: %s", clip.source.name, summary(row))

    def _result(self, clip: Clip) -> _Result:
        files = Outputs(self.output, clip, self.saving.videos, self.saving.folders)
        spatial = [metric for metric in self.tally.metrics if not is_of_sets(metric)] if self.images else []
        return _Result(clip, files, ClipScores(self.tally.metrics), ClipScores(spatial))


class _Result:
    """Figures and files of one clip; a context like its files."""

    def __init__(self, clip: Clip, files: Outputs, scores: ClipScores, spatial: ClipScores):
        self.clip, self.files, self.scores, self.spatial = clip, files, scores, spatial
        self.count = 0

    def add(self, original: np.ndarray, recon: np.ndarray, spatial: np.ndarray | None = None) -> None:
        self.scores.add(original, recon)
        if spatial is not None:
            self.spatial.add(original, spatial)
        self.files.add(original, recon, spatial)
        self.count += 1

    def finish(self) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        """The row of the report, and all scores by metric."""
        height, width = self.clip.size
        scores, means = self.scores.finish()
        _, spatial = self.spatial.finish()
        row = {
            "file": self.clip.source.name,
            "kind": "image" if self.clip.fps is None else "video",
            **{"frames": self.count, "width": width, "height": height},
            **({} if self.clip.fps is None else {"fps": str(self.clip.fps)}),
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


def _shape(numbered: tuple[int, Clip]) -> tuple[int, tuple[int, int]]:
    return numbered[1].total, numbered[1].size


def _protocol(models: Models, options: Options, batch_size: int) -> dict[str, object]:
    return {
        "latents": "sample of the posterior" if options.sample else "mean of the posterior",
        "rounding": "clipped to [-1, 1], rounded to the nearest of 256 levels",
        "resize": "cover, then centre crop" if options.image_size else "none",
        "tiles": asdict(options.tiles) if options.tiles else f"whole frames, in windows of about {CHUNK_PIXELS} pixels",
        "options": {key: value for key, value in asdict(options).items() if key != "tiles"},
        "batch_size": batch_size,
        "dtype": f"{models.dtype}: {models.compute_dtype}",
        "device": ms.get_context("device_target"),
        "weights": models.weights.name,
        "weights_sha256": models.sha256,
        "config": models.config,
    }


def _draw_sample(path: Path) -> Source:
    with video.write_video(path, Fraction(FPS)) as file:
        for frame in tqdm(draw_sample_clip(), total=FRAMES, desc="drawing the sample clip", unit="frame"):
            file.write(frame)
    return Source(path, path.name, path.stem)
