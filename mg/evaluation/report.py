"""The results of an evaluation as files: JSON, tables by clip and by frame, curves."""

from __future__ import annotations

import csv
import json
import logging
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TextIO

import numpy as np

from mg.evaluation.curves import Curves
from mg.evaluation.tally import Tally, is_of_sets
from mg.files import whole_file
from mg.metrics.choose import METRICS

logger = logging.getLogger(__name__)

SPATIAL = "spatial_"  # before the name of a figure: of the image model alone


def clear_report(folder: Path) -> None:
    """Remove what an earlier run reported, so that no file of it can pass for this run's."""
    for name in ("metrics.json", "clips.csv", "frames.csv", "curves.png"):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def reported(tally: Tally, protocol: dict[str, object], group: int | None = None) -> Iterator[dict[str, object]]:
    """While the block runs, clips are scored; a report is written when it ends, and of what is finished if interrupted.

    Scores are kept, to go on from, until they are in a report of all clips. Yields a mapping for what else there is to
    say of the run. protocol, group: see `write_report`.
    """
    started, folder, run = time.monotonic(), tally.folder.parent, {}

    def write() -> None:
        run["seconds"] = round(time.monotonic() - started, 1)
        report = write_report(folder, tally, protocol, run, group)
        logger.info("mean: %s", summary_of(report))
        logger.info(
            "%d clips scored, %d failed; results are in %s", len(report["clips"]), len(report["failed"]), folder
        )

    try:
        yield run
        write()
        tally.clear()
    except KeyboardInterrupt:
        if tally.finished():
            write()
        raise
    finally:
        if not tally.finished():
            tally.clear()


def write_report(
    folder: Path, tally: Tally, protocol: dict[str, object], run: dict[str, object], group: int | None = None
) -> dict[str, object]:
    """Write metrics.json, clips.csv, frames.csv and, of videos, curves.png; returns what metrics.json holds.

    Of an interrupted run it is of the clips that were finished, and names the others under "unfinished".

    protocol: all that the figures depend on; metrics, kinds of means and versions of packages are added.
    run: what may differ between runs that give the same figures.
    group: frames of a latent frame, for curves by the position in it.
    """
    names, unfinished = [metric.name for metric in tally.metrics if not is_of_sets(metric)], tally.unfinished()
    rows = _write_frames(folder, tally, names, group)
    names += sorted({name for row in rows for name in row if name.startswith(SPATIAL)})
    report = {
        "mean": mean(rows, names),
        "standard_error": {name: _standard_error(_values(rows, name)) for name in names},
        "mean_by_kind": {
            kind: mean([row for row in rows if row["kind"] == kind], names)
            for kind in sorted({row["kind"] for row in rows})
        },
        "set": tally.distances() if rows else {},
        "clips": rows,
        "failed": tally.failed(),
        "unfinished": unfinished,
        "protocol": {
            "metrics": {metric.name: metric.about for metric in tally.metrics},
            "mean": "of a clip over its frames; of the set over clips, each counted once",
            "standard_error": "deviation between clips (n - 1) / sqrt(n)",
            **protocol,
            "versions": _versions(),
        },
        "run": run,
    }
    _write_clips(folder / "clips.csv", rows)
    if unfinished:
        logger.info("the report is partial: %d of %d clips; go on with --resume", len(rows), len(tally.names))
    with whole_file(folder / "metrics.json") as part:
        part.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    return report


def mean(rows: Sequence[dict[str, object]], names: Sequence[str]) -> dict[str, float | int | None]:
    """The mean over clips of each figure, and how many clips there are. A clip without a figure does not count."""
    values = {name: _values(rows, name) for name in names}
    means = {name: float(np.mean(value)) if value else None for name, value in values.items()}
    return {**means, "clips": len(rows)}


def summary(figures: dict[str, object]) -> str:
    """The figures of metrics in a row or a mean, such as "PSNR 27.20 dB, SSIM 0.8261"."""
    units = {"psnr": "{:.2f} dB", "fvd": "{:.1f}"} | dict.fromkeys(
        ("flicker", "chroma", "chroma_peak", "fid"), "{:.2f}"
    )
    shown = {name: value for name, value in figures.items() if name in METRICS and value is not None}
    return ", ".join(f"{name.upper()} {units.get(name, '{:.4f}').format(value)}" for name, value in shown.items())


def summary_of(report: dict[str, object]) -> str:
    """The figures of a whole report."""
    return summary({**report["mean"], **{name: figure["value"] for name, figure in report["set"].items()}})


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("mindspore", "numpy", "av")} | {
        "python": platform.python_version()
    }


def _values(rows: Sequence[dict[str, object]], name: str) -> list[float]:
    return [row[name] for row in rows if row.get(name) is not None]


def _standard_error(values: list[float]) -> float | None:
    """Of the mean; None of less than two values."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def _write_clips(path: Path, rows: list[dict[str, object]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with whole_file(path) as part, _table(part) as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _table(path: Path) -> TextIO:
    return open(path, "w", encoding="utf-8", errors="surrogateescape", newline="")  # names may be any bytes


def _write_frames(folder: Path, tally: Tally, names: list[str], group: int | None) -> list[dict[str, object]]:
    """Write frames.csv and curves.png in one pass over all scores; returns the rows of the clips."""
    rows, curves = [], Curves(names, group)
    with whole_file(folder / "frames.csv") as part, _table(part) as file:
        writer = csv.writer(file)
        writer.writerow(["file", "frame", *names])
        for row, scores in tally.kept():
            rows.append(row)
            table = np.full((row["frames"], len(names)), np.nan)
            for column, name in enumerate(names):
                # A step between two frames counts for the later one.
                table[row["frames"] - len(scores[name]) :, column] = scores[name]
            writer.writerows(
                [row["file"], frame, *("" if np.isnan(value) else value for value in values)]
                for frame, values in enumerate(table)
            )
            if row["kind"] == "video":
                curves.add(table)
    curves.draw(folder / "curves.png")
    return rows
