"""Measure encode, decode and train steps: time, memory, arithmetic, and how they compare.

Every measurement is a process of its own, so that its peak memory is that part's alone. The first call compiles; the
median and the spread are of the runs after it. Arithmetic is counted from shapes and compared with the rate of
MindSpore's own fp32 matrix product of 2048x2048, the median of products after every run, in the same process (its
matrices are 50 MB of the peak). The model has TAE_CONFIG's sizes and seeded random weights unless --model_config or
--ckpt_path say otherwise. Let nothing else run on the machine.

--peer      the same layers and weights in PyTorch eager, in its default memory layout (plain), in the faster one that
            has to be asked for (channels_last), or in both if neither is named: run and run alternate, results must
            agree
--profile   time of every operator, to <output_path>.<part>.csv
--growth    untiled over 8 to 32 frames of 64x64 and 64 to 192 pixels at 8 frames, with fitted exponents; tiled, in
            windows of 16 frames of 64x64, the time of a window with 8 to 64 windows
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
from importlib import metadata
from pathlib import Path

import benchmark_report as report
import mindspore as ms
import numpy as np
from benchmark_child import Case  # before mg, which changes the environment
from benchmark_measure import PEERS, measure, plan
from benchmark_report import Row
from count_flops import require_clips
from mindspore import Tensor
from tqdm import tqdm

from mg import runtime
from mg.checks import require_whole
from mg.config import read_recipe
from mg.errors import InputError
from mg.files import make_folder, whole_file
from mg.inference.flags import add_tile_flags, given_tiles
from mg.models.tae.config import TAEConfig
from mg.models.tae.tae import TAE_CONFIG, TemporalAutoencoder
from mg.models.tiling.stream import Tiles

LOAD = os.getloadavg()[0]  # what else runs here makes figures worthless
PARTS = ("encode", "decode", "train")


def parse_args() -> argparse.Namespace:
    parser = runtime.ArgumentParser(description=__doc__)
    model = parser.add_mutually_exclusive_group()
    model.add_argument("--model_config", help="YAML file of a TAE's sizes; weights are random")
    model.add_argument("--ckpt_path", help="weights of a TAE")
    parser.add_argument("--part", nargs="*", default=PARTS, choices=PARTS, help="(default: all)")
    parser.add_argument("--frames", type=int, nargs="+", help="one or several (default: 8; decode 8 and 16)")
    parser.add_argument("--size", type=int, nargs="+", help="side, or height and width (default: 128; train 64)")
    parser.add_argument("--runs", type=int, default=5, help="after the first (default: %(default)s)")
    parser.add_argument("--peer", nargs="*", choices=PEERS, help="PyTorch beside (no value: both)")
    parser.add_argument("--profile", action="store_true", help="by operator")
    parser.add_argument("--growth", action="store_true", help="of encode and decode, as far as --part has them")
    parser.add_argument("--memory_frames", type=int, nargs="+", default=[], help="of train steps")
    parser.add_argument("--dtype", default="auto", choices=runtime.DTYPE_NAMES)
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    parser.add_argument("--output_path", default="benchmark.json", help="JSON file (default: %(default)s)")
    add_tile_flags(parser)
    args = parser.parse_args()
    if args.peer == []:
        args.peer = list(PEERS)
    check(args)
    return args


def check(args: argparse.Namespace) -> None:
    """Refuse what cannot be measured, before anything is."""
    if Path(args.output_path).is_dir():
        raise InputError(f"output_path '{args.output_path}' is a folder; name a JSON file")
    make_folder(Path(args.output_path).parent)
    require_whole("runs", args.runs, 1)
    require_clips([*(args.frames or []), *args.memory_frames], args.size or [])
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


def make_weights(args: argparse.Namespace, tiles: Tiles | None, path: Path) -> TAEConfig:
    """Write the weights that all processes load; random ones are random in every layer. Checks the tiles."""
    config = TAE_CONFIG if args.model_config is None else read_recipe(args.model_config)
    ms.set_seed(0)
    tae = TemporalAutoencoder(config if args.ckpt_path is None else None, args.ckpt_path, dtype="fp32")
    if tiles is not None:
        tiles.check(tae)
    if args.ckpt_path is None:
        rng = np.random.default_rng(0)
        for parameter in tae.get_parameters():  # temporal layers start as identities, in which errors would not show
            scale = 0.1 if len(parameter.shape) == 1 else 0.5 * np.prod(parameter.shape[1:]) ** -0.5
            noise = scale * rng.standard_normal(parameter.shape, dtype=np.float32)
            parameter.set_data(Tensor(parameter.asnumpy() + noise))
    tae.save(path)
    config = TAEConfig.from_mapping(tae.config)
    if args.peer:
        check_conventions(config, args)
    return config


def check_conventions(config: TAEConfig, args: argparse.Namespace) -> None:
    """Refuse what the peers do not do."""
    default = TAEConfig()
    for field in ("norm_statistics", "downsample_padding", "upsample_padding"):
        if getattr(config, field) != getattr(default, field):
            raise InputError(f"--peer knows {field}={getattr(default, field)} only; leave it out for this model")
    wrong = [side for side in args.size or [] if side % config.compression]
    if wrong:
        raise InputError(f"size={wrong[0]}: --peer pads nothing; give multiples of {config.compression}")


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


def write_results(path: Path, args: argparse.Namespace, config: TAEConfig, rows: dict[str, list[Row]]) -> str:
    """Write the JSON file and the profiles; gives what is to be read at once."""
    about = machine()
    texts = [", ".join(f"{key} {value}" for key, value in about.items())]
    profiles = write_profiles(rows["parts"], path)
    result = {"machine": about, "model": dict(config.as_mapping()), "ckpt_path": args.ckpt_path, "dtype": args.dtype}
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


def main() -> None:
    args = parse_args()
    runtime.setup()
    tiles = given_tiles(args)
    rows = {"parts": [], "growth": [], "memory": []}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        config = make_weights(args, tiles, weights)
        settings = {"dtype": args.dtype, "device_target": args.device_target, "threads": os.cpu_count()}
        todo = plan(args, Case("encode", 8, 64, 64, dict(config.as_mapping()), str(weights), **settings), tiles)
        with tqdm(total=sum(1 + one.runs for one in todo), unit="call") as bar:
            for one in todo:
                rows[one.group] += measure(one, Path(folder), bar)
    tqdm.write(write_results(Path(args.output_path), args, config, rows))


if __name__ == "__main__":
    runtime.run_script(main)
