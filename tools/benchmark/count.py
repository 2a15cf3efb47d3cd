"""What a model costs on paper: arithmetic, what a training step keeps for its backward pass, weights and their like.

For one clip of any family, by counting.py beside this file, which says what is counted and what is left out. Nothing is
computed, so clips may be larger than this machine could train on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence

from counting import count
from model import add_model_flags, check_clips, check_output, given_model
from report import table
from tqdm import tqdm

from mg import cli, runtime
from mg.files import whole_file
from mg.locks import hold_file
from mg.models.autoencoder import Autoencoder
from mg.progress import show_progress

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}
OPERATIONS = ("encode", "decode", "step")
KEPT = "kept_by_recomputed_levels"


def costs(model: Autoencoder, clip: tuple[int, int, int], element: int, on_cpu: bool) -> dict:
    """A row of the table: operations of encode, decode and a training step; bytes kept, by recomputed levels."""
    forward = count(model, "forward", clip, element, on_cpu)
    operations = [count(model, part, clip).operations for part in ("encode", "decode")]
    levels = range(len(model.recompute_levels()) + 1)
    return {
        **dict(zip(("frames", "height", "width"), clip)),
        "operations": dict(zip(OPERATIONS, (*operations, 3 * forward.operations))),
        KEPT: [forward.kept(level) for level in levels],
    }


def state(parameters: int, element: int) -> dict[str, int]:
    """Bytes of what there is besides: fp32 weights, gradients, AdamW's two moments, EMA; the weights' casts."""
    sizes = {"weights": 4, "gradients": 4, "moments": 8, "ema": 4, "cast weights": element if element < 4 else 0}
    return {name: size * parameters for name, size in sizes.items()}


def text(rows: Sequence[dict], bytes_of_state: dict[str, int]) -> str:
    """What is printed: a line for each clip, then what there is besides."""
    columns: dict[str, Callable[[dict], str]] = {"TxHxW": lambda row: "{frames}x{height}x{width}".format(**row)}
    for name in OPERATIONS:
        columns[f"{name} GFLOP"] = lambda row, name=name: f"{row['operations'][name] / 1e9:.1f}"
    levels = len(rows[0][KEPT])
    for level, name in enumerate(["none", *map(str, range(1, levels - 1)), "all"][:levels]):
        columns[f"GB, recompute {name}"] = lambda row, level=level: f"{row[KEPT][level] / 1e9:.2f}"
    parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in bytes_of_state.items())
    return f"{table(columns, rows)}\n\nBesides, {sum(bytes_of_state.values()) / 1e9:.2f} GB: {parts}"


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    add_model_flags(parser)
    group = parser.add_argument_group("Clips")
    group.add_argument(
        "--frames", type=int, nargs="+", default=[1, 9, 17, 33], metavar="N", help="(default: 1 9 17 33)"
    )
    group.add_argument(
        "--size", type=int, nargs="+", default=[256], metavar="N", help="side, or height and width (default: 256)"
    )
    group.add_argument("--dtype", default="bf16", choices=BYTES, help="compute type (default: %(default)s)")
    group.add_argument("--device_target", default="Ascend", choices=runtime.DEVICES, help="(default: %(default)s)")
    group.add_argument("--output_path", default="costs.json", metavar="PATH", help="JSON file (default: %(default)s)")
    args = parser.parse_args(arguments)
    check_output(args.output_path)
    return args


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    runtime.setup()
    model = given_model(args)
    check_clips(model, args.frames, args.size)
    clips = [(frames, args.size[0], args.size[-1]) for frames in args.frames]
    element = BYTES[args.dtype]
    rows = [costs(model, clip, element, args.device_target == "CPU") for clip in show_progress(clips, unit="clip")]
    parameters = sum(p.size for p in model.get_parameters())
    result = {"family": model.family, "model": dict(model.config), "dtype": args.dtype}
    result |= {"device_target": args.device_target, "parameters": parameters}
    result |= {"state": state(parameters, element), "costs": rows}
    with hold_file(args.output_path), whole_file(args.output_path) as part:
        part.write_text(json.dumps(result, indent=2) + "\n")
    tqdm.write(text(rows, result["state"]))


if __name__ == "__main__":
    cli.run_script(main)
