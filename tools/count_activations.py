"""What a training step of a TAE needs in memory, on paper: activations by recomputed levels, weights and their like.

Counted from shapes, for one clip; nothing is run. tools/activation_bytes.py says what is counted, what is assumed of
upstream's form (mindone, examples/moviegen) and what is left out. The last clip of the table is always 32x256x256.
"upstream" is what its backward pass needs, "upstream, copies" with a transposed copy before each temporal convolution.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from activation_bytes import Form, kept, state, step
from benchmark_report import table
from count_flops import Size, require_clips
from tqdm import tqdm

from mg import cli, runtime
from mg.config import read_recipe
from mg.errors import InputError
from mg.files import make_folder, whole_file
from mg.models.tae.config import TAEConfig
from mg.models.tae.tae import TAE_CONFIG, TemporalAutoencoder

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}
TARGET = Size(32, 256, 256)


def forms(element: int, on_cpu: bool, upstream: bool) -> dict[str, Form]:
    """What is counted, by name."""
    result = {"mg": Form(element, on_cpu)}
    if upstream:
        result["upstream"] = Form(element, upstream=True)
        result["upstream, copies"] = Form(element, upstream=True, copies=1)
    return result


def count(config: TAEConfig, clip: Size, network: str, form: Form) -> dict:
    """A row of the table: bytes by recomputed levels, and without recomputation by level."""
    layers = step(config, clip, form)
    levels = range(len(config.channels))
    return {
        "network": network,
        "frames": clip.frames,
        "height": clip.height,
        "width": clip.width,
        "by_recomputed_levels": [kept(layers, count) for count in range(len(levels) + 1)],
        "by_level": [sum(layer.kept for layer in layers if layer.level == level) for level in levels],
    }


def text(rows: Sequence[dict], bytes_of_state: dict[str, int]) -> str:
    """What is printed: activations of all rows, then what there is besides."""
    clip = {"network": lambda row: row["network"], "TxHxW": lambda row: "{frames}x{height}x{width}".format(**row)}
    levels = len(rows[0]["by_level"])
    recomputed = ["none", *map(str, range(1, levels)), "all"]
    columns = {f"recompute {name}": _gb("by_recomputed_levels", i) for i, name in enumerate(recomputed)}
    columns = {**clip, **columns, **{f"level {i}": _gb("by_level", i) for i in range(levels)}}
    parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in bytes_of_state.items())
    total = sum(bytes_of_state.values()) / 1e9
    return f"GB kept for the backward pass\n{table(columns, rows)}\n\nBesides, {total:.2f} GB: {parts}"


def _gb(key: str, index: int) -> Callable[[dict], str]:
    return lambda row: f"{row[key][index] / 1e9:.2f}"


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--model_config", help="YAML file of a TAE's sizes (default: TAE_CONFIG)")
    parser.add_argument("--frames", type=int, nargs="+", default=[1, 9, 17, 33], help="(default: %(default)s)")
    parser.add_argument("--size", type=int, nargs="+", default=[64], help="side, or height and width (default: 64)")
    parser.add_argument("--dtype", default="bf16", choices=BYTES, help="compute type (default: %(default)s)")
    parser.add_argument("--device_target", default="Ascend", choices=runtime.DEVICES, help="(default: %(default)s)")
    parser.add_argument("--upstream", action="store_true", help="count upstream's form as well")
    parser.add_argument("--output_path", default="activations.json", help="JSON file (default: %(default)s)")
    args = parser.parse_args()
    require_clips(args.frames, args.size)
    if Path(args.output_path).is_dir():
        raise InputError(f"output_path '{args.output_path}' is a folder; name a JSON file")
    make_folder(Path(args.output_path).parent)
    return args


def main() -> None:
    args = parse_args()
    config = TAEConfig.from_mapping(TAE_CONFIG if args.model_config is None else read_recipe(args.model_config))
    clips = [*(Size(frames, args.size[0], args.size[-1]) for frames in args.frames), TARGET]
    element = BYTES[args.dtype]
    counted = forms(element, args.device_target == "CPU", args.upstream)
    rows = [count(config, clip, *item) for clip in dict.fromkeys(clips) for item in counted.items()]
    parameters = sum(p.size for p in TemporalAutoencoder(config, dtype="fp32").get_parameters())
    result = {"model": dict(config.as_mapping()), "dtype": args.dtype, "device_target": args.device_target}
    result |= {"parameters": parameters, "state": state(parameters, element), "activations": rows}
    with whole_file(args.output_path) as part:
        part.write_text(json.dumps(result, indent=2) + "\n")
    tqdm.write(text(rows, result["state"]))


if __name__ == "__main__":
    cli.run_script(main)
