"""What tools/benchmark.py measures, and how: the list of cases, the processes of one, the figures of a row."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import benchmark_report as report
import count_flops
import numpy as np
from benchmark_child import Case, Child
from benchmark_report import Row
from tqdm import tqdm

from mg.errors import InputError
from mg.models.tae.config import TAEConfig
from mg.models.tiling.stream import Tiles

FRAMES = {"encode": [8], "decode": [8, 16], "train": [8]}  # 8 frames are one latent frame, which is decoded once
SIZE = {"encode": [128, 128], "decode": [128, 128], "train": [64, 64]}
TOLERANCE = 2e-4  # of the largest value
PEERS = {"plain": "PyTorch", "channels_last": "PyTorch, channels last"}
WINDOW = 16
Ask = Callable[..., "dict[str, Any]"]  # command, its arguments -> reply


@dataclass(frozen=True)
class Measurement:
    """A case, how often it is run after the first time, by whom, and what of ("parts", "growth", "memory")."""

    case: Case
    runs: int
    by: tuple[str, ...]
    group: str
    sweep: str = ""
    profile: bool = False
    windows: int = 0


def plan(args: argparse.Namespace, base: Case, tiles: Tiles | None) -> list[Measurement]:
    """Everything to measure, in order."""
    by = ("mg", *(name for layout, name in PEERS.items() if layout in (args.peer or [])))
    base = replace(base, tiles=None if tiles is None else asdict(tiles))
    todo = []
    for part in args.part:
        for frames in args.frames or FRAMES[part]:
            case = at(base, part, frames, args.size or SIZE[part])
            todo.append(Measurement(case, args.runs, by, "parts", profile=args.profile))
    if args.growth:
        for part in (part for part in args.part if part != "train"):
            todo += growth(replace(base, tiles=None), part, args.runs)
    for frames in args.memory_frames:
        case = at(replace(base, tiles=None), "train", frames, args.size or SIZE["train"])
        todo.append(Measurement(case, 1, by, "memory"))
    return todo


def growth(base: Case, part: str, runs: int) -> list[Measurement]:
    """Untiled over frames and over sizes; tiled over windows."""
    todo = []
    for frames in (8, 16, 24, 32):
        todo.append(Measurement(at(base, part, frames, [64]), runs, ("mg",), "growth", "T"))
    for side in (64, 96, 128, 160, 192):
        todo.append(Measurement(at(base, part, 8, [side]), runs, ("mg",), "growth", "HW"))
    tiles = Tiles(encode_tile=WINDOW, encode_overlap=0, encode_context=0, decode_tile=WINDOW, decode_overlap=0)
    for windows in (8, 16, 32, 64):
        case = replace(at(base, part, windows * WINDOW, [64]), tiles=asdict(tiles))
        todo.append(Measurement(case, runs, ("mg",), "growth", "windows", windows=windows))
    return todo


def at(base: Case, part: str, frames: int, size: list[int]) -> Case:
    return replace(base, part=part, frames=frames, height=size[0], width=size[-1])


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
        row["done_of_matmul"] = row["of_matmul"] * row["gflop_done"] / row["gflop"]
    for row in rows[1:]:
        row["ratio"] = rows[0]["median_s"] / row["median_s"]
        row["difference"] = difference(todo.case.part, row["by"], result(folder, "mg"), result(folder, row["by"]))
    return rows


def start(by: str, case: Case, stack: ExitStack) -> Ask:
    """Start a process that lives as long as the stack; gives what asks it, which raises InputError if it replies so."""
    script = "benchmark_mindspore.py" if by == "mg" else "benchmark_torch.py"
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
    rows = [row_of(todo, by, first[by], seconds[by], ask("memory")["peak_gb"]) for by, ask in asks.items()]
    return [{**row, "matmul_gflops": float(np.median(rates))} for row in rows]


def name_of(case: Case) -> str:
    return f"{case.part} of {case.frames}x{case.height}x{case.width}"


def result(folder: Path, by: str) -> Path:
    return folder / f"{by}.npz"


def row_of(todo: Measurement, by: str, first: float, seconds: list[float], peak_gb: float) -> Row:
    """What is known of one case without its neighbours."""
    case = todo.case
    config, clip = TAEConfig.from_mapping(case.config), count_flops.Size(case.frames, case.height, case.width)
    plain = count_flops.part(case.part, config, clip)
    done = plain
    if by == "mg" and case.tiles is None:
        done = count_flops.part(case.part, config, clip, computed=True)
    elif by == "mg":
        done = count_flops.tiled(case.part, config, clip, Tiles(**case.tiles))
    row = {
        **{"part": case.part, "frames": case.frames, "height": case.height, "width": case.width},
        **{"tiled": case.tiles is not None, "by": by, "sweep": todo.sweep, "windows": todo.windows},
        **{"first_s": first, **report.statistics(seconds), "runs_s": seconds, "peak_gb": peak_gb},
        **{"gflop": plain / 1e9, "gflop_done": done / 1e9},
    }
    row["done"] = done / plain
    row["gflops"] = row["gflop"] / row["median_s"]
    row["window_s"] = row["median_s"] / todo.windows if todo.windows else None
    return row


def difference(part: str, by: str, ours: Path, theirs: Path) -> float:
    """Largest difference of the first results as a share of the largest value. Raises InputError above TOLERANCE."""
    with np.load(ours) as a, np.load(theirs) as b:
        off = max(float(np.abs(a[name] - b[name]).max() / np.abs(b[name]).max()) for name in b.files)
    if not off <= TOLERANCE:
        raise InputError(
            f"{part}: the result of {by} is off by {off:.1e} of the largest value, more than {TOLERANCE}, so "
            "times cannot be compared; give other weights, or mend tools/torch_tae.py"
        )
    return off
