"""Decode a cache of latents, or latents that a diffusion model made, to videos and images.

Files that scripts/encode.py wrote give videos of the recorded frames, size and rate. Others (.npy, .npz or .safetensors
with one array (z, t, h, w) or (B, z, t, h, w)) give all their frames; --axes tchw is for those of mindone's pipelines.
Under scripts/launch/ranks.py, ranks decode each of them together.
"""

from __future__ import annotations

import argparse
from fractions import Fraction

from mg import cli
from mg.inference import flags
from mg.inference.decode import AXES, Reading, decode_files


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    group = parser.add_argument_group("Files")
    group.add_argument("--input", required=True, metavar="PATH", help="a file of latents, or a folder (required)")
    group.add_argument(
        "--output_path", default="samples/decoded", metavar="PATH", help="folder for results (default: %(default)s)"
    )
    group.add_argument("--scaled", action="store_true", help="the latents are (z - shift) * scaling; undo that first")
    group.add_argument("--any_weights", action="store_true", help="also decode latents that other weights made")
    text = "of files that are not ours: channels or frames first, behind clips if there are several (default: cthw)"
    group.add_argument("--axes", choices=AXES, default=AXES[0], help=text)
    group.add_argument(
        "--fps", type=cli.rate, default=Fraction(24), help="of files that do not say it (default: %(default)s)"
    )
    flags.add_output_rate_flag(group)
    flags.add_model_flags(parser)
    flags.add_parallel_flag(parser, flags.TILES, flags.ROWS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    reading = Reading(args.scaled, args.any_weights, args.fps, args.output_fps, args.axes)
    flags.set_up(args)
    return 2 if decode_files(flags.given_session(args), args.input, args.output_path, reading) else 0


def run() -> None:
    """What is installed as mg-decode."""
    cli.run_script(main)
