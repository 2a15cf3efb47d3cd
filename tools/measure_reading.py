"""How fast videos are read: random windows, as training takes them, and whole clips.

Side by side and alternating in one process of one thread, all to RGB frames in memory: this package once it knows a
file, and when it sees it for the first time; decord, a new reader for each clip (where it is installed); and a plain
PyAV loop from the start of the file to the last frame that is wanted. Writes a table (.md) and a JSON file. Let nothing
else run on the machine.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from mg import cli
from mg.errors import InputError
from mg.files import make_folder, whole_file
from mg.io import by_number
from mg.io.by_number import read_frames_at
from mg.io.clip import find_media, is_video
from mg.io.index import Store
from mg.io.reader import Video

logger = logging.getLogger(__name__)

Reader = Callable[[Path, Sequence[int]], np.ndarray]


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", nargs="+", required=True, metavar="PATH", help="folders of videos, a row for each")
    parser.add_argument("--frames", type=int, default=17, help="of a window (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="windows, and whole readings, of each clip (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the windows (default: %(default)s)")
    parser.add_argument(
        "--output_path", default="samples/reading", metavar="PATH", help="folder (default: %(default)s)"
    )
    return parser.parse_args(arguments)


def plain_loop(path: Path, numbers: Sequence[int]) -> np.ndarray:
    """What one writes first: decode from the start, convert what is wanted."""
    found = {}
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in numbers:
                found[number] = frame.to_ndarray(format="rgb24")
            if number == numbers[-1]:
                break
    return np.stack([found[number] for number in numbers])


def decord_reader(path: Path, numbers: Sequence[int]) -> np.ndarray:
    """decord as it is used for training: a reader a clip, one thread."""
    return import_module("decord").VideoReader(str(path), num_threads=1).get_batch(list(numbers)).asnumpy()


def first_touch(path: Path, numbers: Sequence[int]) -> np.ndarray:
    """This package, when it knows nothing of the file."""
    by_number.STORE = Store()
    return read_frames_at(path, numbers)


def length(path: Path) -> int:
    """Frames that there are; afterwards this package knows the file."""
    return by_number.STORE.find(Video(path)).frames


def comparable(files: Sequence[Path], readers: dict[str, Reader]) -> list[Path]:
    """The files of which all readers give a first frame of one size; others are named in the log."""
    same = []
    for path in files:
        try:
            shapes = {read(path, range(1)).shape for read in readers.values()}
        except Exception as error:  # of any reader
            shapes = {str(error)}
        if len(shapes) == 1 and isinstance(next(iter(shapes)), tuple):
            same.append(path)
        else:
            logger.warning("left out, since not all readers give the same of it: %s", path)
    if not same:
        raise InputError("there is no video that all readers read; name another folder")
    return same


def measure(files: Sequence[Path], readers: dict[str, Reader], window: int | None, runs: int, seed: int) -> dict:
    """Clips a second by reader, of all files together. window: frames of a clip; None takes whole files."""
    rng, seconds = np.random.default_rng(seed), dict.fromkeys(readers, 0.0)
    for path in tqdm(files, desc="windows" if window else "whole", unit="clip"):
        total = length(path)
        known = by_number.STORE
        for _ in range(runs):
            taken = min(total, window or total)
            start = int(rng.integers(total - taken + 1))
            for name in rng.permutation(list(readers)):
                begun = time.perf_counter()
                readers[name](path, range(start, start + taken))
                seconds[name] += time.perf_counter() - begun
                by_number.STORE = known
    return {name: round(runs * len(files) / spent, 2) for name, spent in seconds.items()}


def table(rows: Sequence[dict]) -> str:
    """Markdown, a line a row."""
    names = list(rows[0]["rates"])
    lines = [f"| clips a second | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        lines.append(f"| {row['what']} | {' | '.join(str(row['rates'][name]) for name in names)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    readers: dict[str, Reader] = {"mg": read_frames_at, "mg, first touch": first_touch, "PyAV loop": plain_loop}
    if find_spec("decord"):
        readers["decord"] = decord_reader
    output, rows = make_folder(args.output_path), []
    for folder in args.input:
        files = comparable(list(filter(is_video, find_media(folder, leave_out=output))), readers)
        for window in (args.frames, None):
            what = f"{len(files)} clips of {Path(folder).name}, " + (f"windows of {window}" if window else "whole")
            rows.append({"what": what, "rates": measure(files, readers, window, args.runs, args.seed)})
    for name, text in (("reading.md", table(rows)), ("reading.json", json.dumps(rows, indent=1) + "\n")):
        with whole_file(output / name) as part:
            part.write_text(text)
    print(table(rows), end="")


if __name__ == "__main__":
    cli.run_script(main)
