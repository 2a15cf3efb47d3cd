"""Measure encode, decode and train steps: time, memory, arithmetic, and how they compare. For every family.

Every measurement is a process of its own, so that its peak memory is that part's alone. The first call compiles; the
median and the spread are of the runs after it. Arithmetic is counted by counting.py beside this file and compared with
the rate of MindSpore's own fp32 matrix product of 2048x2048, the median of products after every run, in the same
process (its matrices are 50 MB of the peak). The model is a TAE of its default sizes with seeded random weights, unless
--ckpt_path, or --model and --model_config say otherwise. Let nothing else run on the machine.

--peer      the same layers and weights in PyTorch eager (a TAE; encode and decode of an Open-Sora VAE), in its default
            memory layout (plain), in the faster one that has to be asked for (channels_last), or in both if neither is
            named: run and run alternate, results must agree
--profile   time of every operator, to <output_path>.<part>.csv
--growth    untiled over 8 to 32 frames of 64x64 and 64 to 192 pixels at 8 frames, with fitted exponents; tiled, in
            windows of two latent frames of 64x64, the time of a window with 8 to 64 windows
--memory_frames 1 9 17 33   peak memory of train steps of so many frames, with a fitted line
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import report
from child import Setup
from measure import PEERS, Plan, measure
from mindspore import Tensor
from model import add_model_flags, check_clips, check_output, given_model
from report import Row
from tqdm import tqdm

from mg import cli, runtime
from mg.checks import require_whole
from mg.errors import InputError
from mg.files import whole_file
from mg.models.autoencoder import Autoencoder
from mg.models.tiling.tiles import Tiles
from mg.progress import show_progress
from mg.rows import measured_rows

LOAD = os.getloadavg()[0]  # what else runs here makes figures worthless
PARTS = ("encode", "decode", "train")
# What torch_tae.py and torch_opensora_vae.py can do: parts, and what a model's configuration must say.
PEER_PARTS = {"tae": PARTS, "opensora_vae": ("encode", "decode")}
PEER_CONVENTIONS = {
    "tae": {"norm_statistics": "frame", "downsample_padding": "end", "upsample_padding": "replicate"},
    "opensora_vae": {},
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__, usage="python tools/benchmark/benchmark.py [flags]")
    add_model_flags(parser)
    group = parser.add_argument_group("What is measured")
    group.add_argument("--part", nargs="*", default=PARTS, choices=PARTS, help="(default: all)")
    group.add_argument(
        "--frames", type=int, nargs="+", metavar="N", help="one or several (default: 8; decode 8 and 16, or what fills)"
    )
    group.add_argument(
        "--size", type=int, nargs="+", metavar="N", help="side, or height and width, in pixels (default: 128; train 64)"
    )
    group.add_argument("--runs", type=int, default=5, metavar="N", help="after the first (default: %(default)s)")
    group.add_argument("--peer", nargs="*", choices=PEERS, help="PyTorch beside (no value: both)")
    group.add_argument("--profile", action="store_true", help="by operator")
    group.add_argument("--growth", action="store_true", help="of encode and decode, as far as --part has them")
    group.add_argument("--memory_frames", type=int, nargs="+", default=[], metavar="N", help="of train steps")
    group.add_argument("--dtype", default="auto", choices=runtime.DTYPE_NAMES, help="(default: %(default)s)")
    group.add_argument("--device_target", default="CPU", choices=runtime.DEVICES, help="(default: %(default)s)")
    group.add_argument(
        "--output_path", default="benchmark.json", metavar="PATH", help="JSON file (default: %(default)s)"
    )
    cli.add_resume_flag(group)
    group.add_argument("--use_tile", action="store_true", help="in tiles of the sizes below (default: whole clips)")
    cli.add_flags(parser, Tiles)
    args = parser.parse_args(arguments)
    if args.peer == []:
        args.peer = list(PEERS)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot be measured, before anything is."""
    check_output(args.output_path)
    require_whole("runs", args.runs, 1)
    if not args.part and not args.memory_frames:
        raise InputError("--part names nothing and --memory_frames is not given; say what to measure")
    if len(set(args.memory_frames)) == 1:
        raise InputError("--memory_frames needs two different numbers, or no line can be fitted; give more")
    if args.use_tile and "train" in args.part:
        raise InputError("--use_tile: train steps are not tiled; add --part encode decode")
    if args.peer:
        check_peer(args)


def check_peer(args: argparse.Namespace) -> None:
    if importlib.util.find_spec("torch") is None:
        raise InputError("--peer needs PyTorch, which is not installed; pip install torch, or leave --peer out")
    if args.use_tile or args.dtype not in ("auto", "fp32") or args.device_target != "CPU":
        raise InputError("--peer compares whole clips in fp32 on a CPU; leave --use_tile, --dtype, --device_target out")


def check_peers_model(model: Autoencoder, size: list[int], parts: Sequence[str] = ()) -> None:
    """Refuse what the peers do not do."""
    if model.family not in PEER_PARTS:
        raise InputError(f"--peer is a model of the family {' or '.join(PEER_PARTS)}, not {model.family}; leave it out")
    missing = [part for part in parts if part not in PEER_PARTS[model.family]]
    if missing:
        raise InputError(f"--peer has no {missing[0]} for the family {model.family}; name other parts with --part")
    for field, value in PEER_CONVENTIONS[model.family].items():
        if model.config[field] != value:
            raise InputError(f"--peer knows {field}={value} only; leave it out for this model")
    wrong = [side for side in size if side % model.space_compression]
    if wrong:
        raise InputError(f"size={wrong[0]}: --peer pads nothing; give multiples of {model.space_compression}")


def randomise(model: Autoencoder) -> None:
    """Make every layer random: those that start as identities would not show errors."""
    rng = np.random.default_rng(0)
    for parameter in model.get_parameters():
        scale = 0.1 if len(parameter.shape) == 1 else 0.5 * np.prod(parameter.shape[1:]) ** -0.5
        noise = scale * rng.standard_normal(parameter.shape, dtype=np.float32)
        parameter.set_data(Tensor(parameter.asnumpy() + noise))


def machine() -> dict[str, str | int]:
    """What was measured on, and with."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [text.partition(":")[2].strip() for text in lines if text.startswith(("model name", "Model"))]
    packages = {d.metadata["Name"] for d in metadata.distributions()} & {"mindspore", "numpy", "torch"}
    return {
        "cpu": names[0] if names else platform.machine(),
        "threads": os.cpu_count(),
        "load at the start": f"{LOAD:.1f}",
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in sorted(packages)},
    }


def write_results(args: argparse.Namespace, setup: Setup, rows: dict[str, list[Row]]) -> str:
    """Write the JSON file and the profiles; gives what is to be read at once."""
    about, path = machine(), Path(args.output_path)
    texts = [", ".join(f"{key} {value}" for key, value in about.items())]
    profiles = write_profiles(rows["parts"], path)
    result = {"machine": about, "family": setup.family, "model": setup.config}
    result |= {"ckpt_path": args.ckpt_path, "dtype": args.dtype}
    if rows["parts"]:
        texts += [report.results_text(rows["parts"]), *profiles]
        result["parts"] = rows["parts"]
    if rows["growth"]:
        fits = report.growth_fits(rows["growth"])
        texts.append(report.growth_text(rows["growth"], fits))
        result["growth"] = {"rows": rows["growth"], "fits": fits}
    if rows["memory"]:
        fits = report.memory_fits(rows["memory"])
        texts.append(report.memory_text(rows["memory"], fits))
        result["memory"] = {"rows": rows["memory"], "fits": fits}
    with whole_file(path) as part:
        part.write_text(json.dumps(result, indent=2) + "\n")
    return "\n\n".join(texts)


def write_profiles(rows: list[Row], path: Path) -> list[str]:
    """Every operator of every profiled row as CSV, the longest first; gives tables by type."""
    texts = []
    for row in (row for row in rows if "operators" in row):
        operators = sorted(row.pop("operators"), key=lambda operator: -operator["ms"])
        total = sum(operator["ms"] for operator in operators)
        name = f"{row['part']}_{row['frames']}x{row['height']}x{row['width']}"
        with whole_file(path.with_suffix(f".{name}.csv")) as part, open(part, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("operator", "name", "calls", "ms", "share"))
            for o in operators:
                writer.writerow((o["operator"], o["name"], o["calls"], f"{o['ms']:.3f}", f"{o['ms'] / total:.5f}"))
        row["operators"] = report.by_operator(operators)
        texts.append(report.operators_text(f"operators of {name.replace('_', ' ')}", row["operators"]))
    return texts


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    runtime.setup()
    model = given_model(args, **cli.given_flags(args, Tiles))
    check_clips(model, [*(args.frames or []), *args.memory_frames], args.size or [])
    if args.peer:
        check_peers_model(model, args.size or [], args.part)
    if args.ckpt_path is None:
        randomise(model)
    rows = {"parts": [], "growth": [], "memory": []}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        model.save(weights)
        settings = args.dtype, args.device_target, os.cpu_count()
        setup = Setup(model.family, str(weights), dict(model.config), *settings)
        plan = Plan(args, model, setup, args.use_tile)
        bar = show_progress(total=sum(1 + one.runs for one in plan.measurements), unit="call")
        with bar, measured_rows(args.output_path, cli.about(args), args.resume) as measured:
            for number, one in enumerate(plan.measurements):
                name = f"{number} {one.case.part} {one.case.size} {one.group} {one.sweep}"
                rows[one.group] += measured.get(name, partial(measure, one, Path(folder), bar))
            text = write_results(args, setup, rows)
    tqdm.write(text)


if __name__ == "__main__":
    cli.run_script(main)
