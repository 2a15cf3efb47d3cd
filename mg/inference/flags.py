"""Flags that the commands for files share: model, device, frames and tiles."""

from __future__ import annotations

import argparse
from dataclasses import fields
from fractions import Fraction

from mg import runtime
from mg.errors import InputError
from mg.metrics.choose import METRICS, NetworkFiles
from mg.models.tiling.plan import BLENDS
from mg.models.tiling.stream import Tiles

TILE_SIZES = {  # and their units
    **dict.fromkeys(("encode_tile", "encode_overlap", "encode_context", "decode_tile", "decode_overlap"), "frames"),
    **dict.fromkeys(("spatial_tile", "spatial_overlap"), "pixels"),
    "tile_batch": "tiles computed at once",
}

_NETWORKS = {"lpips_weights": "lpips and flolpips", "flow_onnx": "flolpips", "inception_onnx": "fid", "i3d_onnx": "fvd"}


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Weights, number type and device."""
    parser.add_argument("--ckpt_path", help="weights of a TAE (default: the model that ships with the package)")
    parser.add_argument(
        "--dtype", default="auto", choices=runtime.DTYPE_NAMES, help="auto: fp32 on CPU, bf16 on Ascend"
    )
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    parser.add_argument("--mode", default="graph", choices=runtime.MODES)
    parser.add_argument("--jit_level", choices=runtime.JIT_LEVELS, help="optimisation of graphs (default: MindSpore's)")


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    """Which files."""
    parser.add_argument("--input", help="a video, an image, or a folder of both")
    parser.add_argument("--video_folder", help="a folder, instead of --input")
    parser.add_argument("--csv_path", help="CSV whose column 'video' lists files below --video_folder (default: all)")


def add_clip_flags(parser: argparse.ArgumentParser) -> None:
    """What is taken of each clip."""
    parser.add_argument("--num_frames", type=int, help="take so many frames of each clip (default: all)")
    parser.add_argument("--sample_stride", type=int, default=1, help="take every so many-th frame (default: each)")
    parser.add_argument(
        "--image_size", type=int, nargs="+", help="side, or height and width, in pixels (default: as it is)"
    )


def add_tile_flags(parser: argparse.ArgumentParser) -> None:
    """Whether and how to tile."""
    parser.add_argument("--use_tile", action="store_true", help="tile in time and space, with the sizes below")
    add_tile_size_flags(parser)
    for name in ("time_blend", "spatial_blend"):
        text = "how weights change over what tiles share (default: %(default)s)"
        parser.add_argument(f"--{name}", default=getattr(Tiles, name), choices=BLENDS, help=text)
    parser.add_argument(
        "--shared_statistics",
        action=argparse.BooleanOptionalAction,
        default=Tiles.shared_statistics,
        help="normalise all tiles of a frame by a sample of the whole frame (default: no)",
    )


def add_tile_size_flags(parser: argparse.ArgumentParser) -> None:
    """How large tiles are, and what they share."""
    for name, unit in TILE_SIZES.items():
        parser.add_argument(
            f"--{name}", type=int, default=getattr(Tiles, name), help=f"in {unit} (default: %(default)s)"
        )


def add_metric_flags(parser: argparse.ArgumentParser) -> None:
    """What is measured, and the files of networks that some metrics need."""
    parser.add_argument(
        "--metric", nargs="+", default=["psnr", "ssim"], choices=METRICS, help="what to report (default: psnr ssim)"
    )
    for field in fields(NetworkFiles):
        text = f"network of {_NETWORKS[field.name]}; docs/metrics.md says how to make the file"
        parser.add_argument(f"--{field.name}", help=text)


def given_networks(args: argparse.Namespace) -> NetworkFiles:
    """The files of networks that were named."""
    return NetworkFiles(**{field.name: getattr(args, field.name) for field in fields(NetworkFiles)})


def given_tiles(args: argparse.Namespace) -> Tiles | None:
    """The tiles asked for; None without --use_tile."""
    return Tiles(**{field.name: getattr(args, field.name) for field in fields(Tiles)}) if args.use_tile else None


def given_size(args: argparse.Namespace) -> tuple[int, int] | None:
    """(height, width) asked for, or None. Raises InputError for more than two numbers."""
    if args.image_size is None:
        return None
    if len(args.image_size) > 2:
        raise InputError(
            f"image_size={args.image_size} has {len(args.image_size)} values; give the side, or height and width"
        )
    return args.image_size[0], args.image_size[-1]


def rate(text: str) -> Fraction:
    """Frames a second, such as 24 or 30000/1001."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no frame rate; write 24 or 30000/1001") from None
