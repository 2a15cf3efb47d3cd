"""Measure how fast training clips are read: those of the training loader a second, by number of workers.

Beside it a plain PyAV loop over the same files: opened, decoded from the start to the end of a random window of as many
frames, which are scaled and cut at the centre. Everything is read once before, so that the loader knows its files, as
it does from the second epoch on. What the loader gives is compared with what cards take: steps of --step_seconds,
batch_size 1. Let nothing else run on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import av
import numpy as np
import report
from model import check_output
from report import Row
from tqdm import tqdm

from mg import cli
from mg.checks import require_whole
from mg.config import read_recipe
from mg.data.config import DataConfig
from mg.data.file_lists import find_files
from mg.data.loader import TrainingData
from mg.data.plan import Position, Share
from mg.errors import InputError
from mg.files import whole_file
from mg.io.clip import is_image
from mg.io.frames import covering_size, resize_and_crop
from mg.progress import show_progress
from mg.rows import measured_rows
from mg.training.recipe import Recipe


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__, usage="python tools/benchmark/loader.py [flags]")
    group = parser.add_argument_group("What is measured")
    group.add_argument("--config", metavar="RECIPE", help="YAML file of settings; flags win (default none)")
    group.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="(default: 1 2 4)")
    group.add_argument("--clips", type=int, default=100, metavar="N", help="of each row (default: %(default)s)")
    group.add_argument(
        "--step_seconds", type=float, default=2.2, metavar="S", help="of a step on one card (default: %(default)s)"
    )
    group.add_argument("--output_path", default="loader.json", metavar="PATH", help="JSON file (default: %(default)s)")
    cli.add_resume_flag(group)
    cli.add_flags(parser, DataConfig)
    args = parser.parse_args(arguments)
    check_output(args.output_path)
    require_whole("clips", args.clips, 1)
    for count in args.workers:
        require_whole("workers", count, 1)
    if not args.step_seconds > 0:
        raise InputError(f"step_seconds={args.step_seconds} must be above 0")
    return args


def data_of(args: argparse.Namespace) -> DataConfig:
    """The data of a recipe and of flags."""
    recipe = {} if args.config is None else read_recipe(args.config)
    return Recipe.of(recipe, cli.given_flags(args, DataConfig)).data


def by_loader(config: DataConfig, clips: int, workers: int) -> Row:
    """Clips of the loader, as fast as they come."""
    data = TrainingData(replace(config, num_workers=workers), 0, Share(1), Position())
    start, frames = time.perf_counter(), 0
    with closing(iter(data)) as steps:
        for step in islice(steps, clips):
            frames += step.clips[0].shape[2]
        seconds = time.perf_counter() - start
    return row_of(f"loader, {workers} workers", clips, frames, seconds)


def by_loop(config: DataConfig, clips: int) -> Row:
    """The plain loop over the same files, one after the other."""
    paths = [path for path in find_files(config).videos if not is_image(path)]
    if not paths:
        raise InputError("there is no video among the files; name others with --video_folder")
    rng, start, frames = np.random.default_rng(0), time.perf_counter(), 0
    for number in range(clips):
        frames += len(plain_clip(paths[number % len(paths)], max(config.lengths), config.sizes[0], rng))
    return row_of("plain PyAV loop", clips, frames, time.perf_counter() - start)


def plain_clip(path: Path, frames: int, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) of what one writes first, T at most `frames`."""
    with av.open(str(path)) as container:
        first = int(rng.integers(max(1, container.streams.video[0].frames - frames + 1)))
        decoded = islice(container.decode(video=0), first, first + frames)
        return np.stack([central(frame.to_ndarray(format="rgb24"), *size) for frame in decoded])


def central(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = resize_and_crop(picture, *covering_size(picture.shape[:2], height, width))
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def row_of(by: str, clips: int, frames: int, seconds: float) -> Row:
    return {"by": by, "clips": clips, "frames": frames, "seconds": seconds, "clips_per_s": clips / seconds}


def table(rows: Sequence[Row], step_seconds: float) -> str:
    """Markdown, a line a row."""
    columns = {
        "by": lambda row: row["by"],
        "clips a second": lambda row: f"{row['clips_per_s']:.2f}",
        "frames a second": lambda row: f"{row['frames'] / row['seconds']:.0f}",
        "cards kept busy": lambda row: f"{row['clips_per_s'] * step_seconds:.1f}",
    }
    return report.table(columns, rows)


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    config = data_of(args)
    todo = {f"loader, {count} workers": partial(by_loader, config, args.clips, count) for count in args.workers}
    todo = {"plain PyAV loop": partial(by_loop, config, args.clips), **todo}
    bar = show_progress(total=len(todo), unit="row")
    with bar, measured_rows(args.output_path, cli.about(args), args.resume) as measured:
        by_loader(config, len(find_files(config).videos), max(args.workers))  # who then knows all files
        rows = []
        for name, measure in todo.items():
            rows.append(measured.get(name, measure))
            bar.update()
        with whole_file(Path(args.output_path)) as part:
            part.write_text(json.dumps({"step_seconds": args.step_seconds, "rows": rows}, indent=1) + "\n")
    tqdm.write(table(rows, args.step_seconds))


if __name__ == "__main__":
    cli.run_script(main)
