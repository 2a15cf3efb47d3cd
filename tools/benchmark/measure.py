"""What benchmark.py measures, and how: the list of cases, the processes of one, the figures of a row."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import counting
import numpy as np
import report
from child import Case, Child, Setup
from report import Row
from tqdm import tqdm

from mg.errors import InputError
from mg.models.autoencoder import Autoencoder
from mg.models.tiling.tiles import Tiles

FRAMES = {"encode": [8], "decode": [8, 16], "train": [8]}  # or the next number that fills the latent frames of these
SIZE = {"encode": [128, 128], "decode": [128, 128], "train": [64, 64]}
TOLERANCE = 2e-4  # of the largest value
PEERS = {"plain": "PyTorch", "channels_last": "PyTorch, channels last"}
WINDOW = 2  # latent frames
Ask = Callable[..., "dict[str, Any]"]  # command, its arguments -> reply


@dataclass(frozen=True)
class Measurement:
    """A case, how often it is run after the first time, by whom, and what of ("parts", "growth", "memory").

    operations: of the package's own networks.
    """

    case: Case
    operations: int
    runs: int
    by: tuple[str, ...] = ("mg",)
    group: str = "parts"
    sweep: str = ""
    profile: bool = False
    windows: int = 0


class Plan:
    """Everything to measure, in order: `measurements`.

    tiled: whether encode and decode go through the model's tiles.
    """

    def __init__(self, args: argparse.Namespace, model: Autoencoder, setup: Setup, tiled: bool):
        self.model, self.setup = model, setup
        by = ("mg", *(name for layout, name in PEERS.items() if layout in (args.peer or [])))
        tiles = model.tiles if tiled else None
        self.measurements = []
        for part in args.part:
            for frames in args.frames or map(self.filled, FRAMES[part]):
                size = args.size or SIZE[part]
                self.add(self.case(part, frames, size, tiles), args.runs, by=by, profile=args.profile)
        if args.growth:
            for part in (part for part in args.part if part != "train"):
                self.add_growth(part, args.runs)
        for frames in args.memory_frames:
            self.add(self.case("train", frames, args.size or SIZE["train"]), 1, by=by, group="memory")

    def add(self, case: Case, runs: int, **about: Any) -> None:
        """Another measurement, with its operations."""
        if case.tiles is not None:
            operations = counting.count_tiled(self.model, case.part, case.size)
        elif case.part == "train":
            operations = 3 * counting.count(self.model, "forward", case.size).operations
        else:
            operations = counting.count(self.model, case.part, case.size).operations
        self.measurements.append(Measurement(case, operations, runs, **about))

    def add_growth(self, part: str, runs: int) -> None:
        """Untiled over frames and over sizes; tiled over windows."""
        for frames in (8, 16, 24, 32):
            self.add(self.case(part, self.filled(frames), [64]), runs, group="growth", sweep="T")
        for side in (64, 96, 128, 160, 192):
            self.add(self.case(part, self.filled(8), [side]), runs, group="growth", sweep="HW")
        before, window = self.model.tiles, self.model.window_frames(WINDOW)
        nothing_shared = dict.fromkeys(("encode_overlap", "encode_context", "decode_overlap"), 0)
        self.model.tiles = before.but(encode_tile=window, decode_tile=window, **nothing_shared)
        for windows in (8, 16, 32, 64):
            case = self.case(part, self.model.frames(windows * WINDOW), [64], self.model.tiles)
            self.add(case, runs, group="growth", sweep="windows", windows=windows)
        self.model.tiles = before

    def case(self, part: str, frames: int, size: list[int], tiles: Tiles | None = None) -> Case:
        clip = frames, size[0], size[-1]
        latent_frames = (self.model.window_latents if tiles is None else self.model.latent_frames)(frames)
        latents = counting.latents_of(self.model, clip, latent_frames)
        return Case(part, clip, latents, self.setup, None if tiles is None else asdict(tiles))

    def filled(self, frames: int) -> int:
        """The frames that the latent frames of so many stand for."""
        return self.model.window_frames(self.model.window_latents(frames))


def measure(todo: Measurement, folder: Path, bar: tqdm) -> list[Row]:
    """Rows of all that measure one case, ours first, each in a process of its own."""
    bar.set_postfix_str(name_of(todo.case))
    with ExitStack() as stack:
        asks = {by: start(by, todo.case, stack) for by in todo.by}
        rows = run(todo, asks, folder, bar)
        if todo.profile:
            rows[0]["operators"] = asks["mg"]("profile", tempfile.mkdtemp(dir=folder))["operators"]
    for row in rows:
        row["of_matmul"] = row["gflops"] / row["matmul_gflops"]
    for row in rows[1:]:
        row["ratio"] = rows[0]["median_s"] / row["median_s"]
        row["difference"] = difference(todo.case.part, row["by"], result(folder, "mg"), result(folder, row["by"]))
    return rows


def start(by: str, case: Case, stack: ExitStack) -> Ask:
    """Start a process that lives as long as the stack; gives what asks it, which raises InputError if it replies so."""
    script = "mindspore_side.py" if by == "mg" else "torch_side.py"
    child = stack.enter_context(Child(script, replace(case, channels_last=by == PEERS["channels_last"])))

    def ask(do: str, *arguments: str) -> dict[str, Any]:
        reply = child.ask(do, *arguments)
        if "error" in reply:
            raise InputError(f"{name_of(case)} by {by}: {reply['error']}")
        return reply

    ask("ready")
    return ask


def run(todo: Measurement, asks: dict[str, Ask], folder: Path, bar: tqdm) -> list[Row]:
    """First runs, whose results are kept, then the others in turn, with matrix products among them."""
    first = {by: ask("run", str(result(folder, by)))["seconds"] for by, ask in asks.items()}
    bar.update()
    seconds, rates = {by: [] for by in asks}, []
    for _ in range(todo.runs):
        for by, ask in asks.items():
            seconds[by].append(ask("run")["seconds"])
        rates.append(asks["mg"]("matmul")["matmul_gflops"])
        bar.update()
    operations = {by: todo.operations if by == "mg" else ask("operations")["operations"] for by, ask in asks.items()}
    return [
        {
            **row_of(todo, by, operations[by], seconds[by]),
            "first_s": first[by],
            "peak_gb": ask("memory")["peak_gb"],
            "matmul_gflops": float(np.median(rates)),
        }
        for by, ask in asks.items()
    ]


def name_of(case: Case) -> str:
    return f"{case.part} of {'x'.join(map(str, case.size))}"


def result(folder: Path, by: str) -> Path:
    return folder / f"{by}.npz"


def row_of(todo: Measurement, by: str, operations: int, seconds: list[float]) -> Row:
    """What is known of one case without its neighbours."""
    case, times = todo.case, report.statistics(seconds)
    return {
        **{"part": case.part, **dict(zip(("frames", "height", "width"), case.size))},
        **{"tiled": case.tiles is not None, "by": by, "sweep": todo.sweep, "windows": todo.windows},
        **{**times, "runs_s": seconds, "window_s": times["median_s"] / todo.windows if todo.windows else None},
        **{"gflop": operations / 1e9, "gflops": operations / 1e9 / times["median_s"]},
    }


def difference(part: str, by: str, ours: Path, theirs: Path) -> float:
    """Largest difference of the first results as a share of the largest value. Raises InputError above TOLERANCE."""
    with np.load(ours) as a, np.load(theirs) as b:
        off = max(float(np.abs(a[name] - b[name]).max() / np.abs(b[name]).max()) for name in b.files)
    if not off <= TOLERANCE:
        raise InputError(
            f"{part}: the result of {by} is off by {off:.1e} of the largest value, more than {TOLERANCE}, so "
            "times cannot be compared; give other weights, or mend tools/benchmark/torch_tae.py"
        )
    return off
