"""Flags that the commands for files share: model, device, frames, tiles and metrics; and what they become."""

from __future__ import annotations

import argparse
from dataclasses import fields

from mg import cli, runtime
from mg.errors import InputError
from mg.io.clip import Sampling
from mg.metrics.choose import METRICS, NetworkFiles
from mg.models import families
from mg.models.autoencoder import Autoencoder
from mg.models.session import Session
from mg.models.tiling.tiles import Tiles

CLIPS, TILES, ROWS = "clips", "tiles", "rows"
_NETWORKS = {"lpips_weights": "lpips and flolpips", "flow_onnx": "flolpips", "inception_onnx": "fid", "i3d_onnx": "fvd"}


def add_model_flags(parser: argparse.ArgumentParser, tiles: bool = True) -> None:
    """Weights, number type and device; and tiles."""
    group = parser.add_argument_group("Model")
    group.add_argument(
        "--ckpt_path", metavar="PATH", help="weights of any family, a file or folder (default: those that ship with mg)"
    )
    group.add_argument(
        "--dtype", default="auto", choices=runtime.DTYPE_NAMES, help="auto: fp32 on CPU, bf16 on Ascend (default: auto)"
    )
    group.add_argument(
        "--device_target", default="CPU", choices=runtime.DEVICES, help="where networks run (default: %(default)s)"
    )
    group.add_argument("--mode", default="graph", choices=runtime.MODES, help="of execution (default: %(default)s)")
    group.add_argument("--jit_level", choices=runtime.JIT_LEVELS, help="optimisation of graphs (default: MindSpore's)")
    if tiles:
        text = "no leaves frames whole, in windows of a few of them that share nothing (default: yes)"
        group.add_argument("--use_tile", action=argparse.BooleanOptionalAction, default=True, help=text)
        text = "length of windows, encoded and decoded, that share nothing (frames; default: the family's own windows)"
        group.add_argument("--window", type=int, metavar="N", help=text)
        cli.add_flags(parser, Tiles)


def add_parallel_flag(parser: argparse.ArgumentParser, *choices: str) -> None:
    """How several ranks work together."""
    group = parser.add_argument_group("Ranks, under scripts/launch/ranks.py")
    text = (
        "what they share: tiles, the tiles of each clip, or its windows where a frame is one tile; rows, those of its "
        "frames, which are left whole: no seam, and memory for its own rows is all that a rank needs"
    )
    if CLIPS in choices:
        text += "; clips, each a clip of its own"
    group.add_argument("--parallel", default=choices[0], choices=choices, help=f"{text} (default: {choices[0]})")


def given_model(args: argparse.Namespace) -> Autoencoder:
    """The model that was named, in the tiles that were asked for, which this process computes by itself."""
    sizes = {**given_window(args), **cli.given_flags(args, Tiles)}
    return families.load(args.ckpt_path, args.dtype, **sizes)


def given_session(args: argparse.Namespace) -> Session:
    """The model that was named, in the tiles that were asked for, on the device that was chosen, with other ranks.

    Where these share rows, frames are whole.
    """
    model, parallel = given_model(args), getattr(args, "parallel", CLIPS)
    model.parallel = None if parallel == CLIPS else parallel
    return Session(model, getattr(args, "use_tile", True) and parallel != ROWS)


def given_window(args: argparse.Namespace) -> dict[str, int]:
    """What --window says of tiles."""
    length = getattr(args, "window", None)
    return {} if length is None else apart(length, length)


def apart(encoded: int, decoded: int) -> dict[str, int]:
    """Sizes of windows of so many frames that share nothing."""
    return {"encode_tile": encoded, "decode_tile": decoded} | dict.fromkeys(
        ("encode_overlap", "encode_context", "decode_overlap"), 0
    )


def set_up(args: argparse.Namespace) -> None:
    """Choose device and mode, before anything of MindSpore is used."""
    runtime.setup(args.device_target, args.mode, args.jit_level, args.dtype)


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """Which files."""
    group = parser.add_argument_group("Files")
    group.add_argument("--input", metavar="PATH", help="a video, an image, or a folder of both (default: none)")
    group.add_argument("--video_folder", metavar="PATH", help="a folder, instead of --input (default: none)")
    group.add_argument(
        "--csv_path", metavar="PATH", help="CSV whose column 'video' lists files below --video_folder (default: all)"
    )


def add_output_rate_flag(group: argparse._ArgumentGroup) -> None:
    """How fast what is written is."""
    text = (
        "write videos at this constant rate: frames repeat or are left out (default: as the source, also if it varies)"
    )
    group.add_argument("--output_fps", type=cli.rate, metavar="X", help=text)


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """What is taken of each clip."""
    group = parser.add_argument_group("Frames")
    group.add_argument("--num_frames", type=int, metavar="N", help="take so many frames of each clip (default: all)")
    group.add_argument(
        "--sample_fps", type=cli.rate, metavar="X", help="take what is shown at so many frames a second (default: each)"
    )
    group.add_argument(
        "--seconds", type=cli.rate, metavar="X", help="take what is shown before so many (seconds; default: all)"
    )
    group.add_argument(
        "--sample_stride", type=int, default=1, metavar="N", help="take every so many-th of these (default: each)"
    )
    group.add_argument(
        "--image_size",
        type=int,
        nargs="+",
        metavar="N",
        help="side, or height and width, in pixels (default: as it is)",
    )
    text = "scale the shorter side to so many pixels, instead of --image_size (default: as it is)"
    group.add_argument("--resolution", type=int, metavar="N", help=text)


def given_sampling(args: argparse.Namespace) -> Sampling:
    """What is taken of each clip. Raises InputError."""
    size = args.image_size
    if size is not None and len(size) > 2:
        raise InputError(f"image_size={size} has {len(size)} values; give the side, or height and width")
    size = None if size is None else (size[0], size[-1])
    return Sampling(
        args.sample_fps,
        args.sample_stride,
        args.num_frames,
        size,
        resolution=args.resolution,
        seconds=args.seconds,
        slices=given_slices(args),
    )


def given_slices(args: argparse.Namespace) -> tuple[int, int, int] | None:
    """The sizes of slices that frames are cropped to, if they are laid side by side."""
    sizes = cli.given_flags(args, Tiles)
    if sizes.get("spatial_mode") != "paste":
        return None
    tiles = Tiles(**sizes)
    return tiles.max_size, tiles.min_size, tiles.divide


def add_metric_flags(parser: argparse.ArgumentParser) -> None:
    """What is measured, and the files of networks that some metrics need."""
    group = parser.add_argument_group("Metrics")
    group.add_argument(
        "--metric",
        nargs="+",
        default=["psnr", "ssim"],
        choices=METRICS,
        metavar="NAME",
        help=f"what to report, of {', '.join(METRICS)} (default: psnr ssim)",
    )
    for field in fields(NetworkFiles):
        text = f"network of {_NETWORKS[field.name]}; docs/metrics.md says how to make the file (default: none)"
        group.add_argument(f"--{field.name}", metavar="PATH", help=text)


def given_networks(args: argparse.Namespace) -> NetworkFiles:
    """The files of networks that were named."""
    return NetworkFiles(**{field.name: getattr(args, field.name) for field in fields(NetworkFiles)})
