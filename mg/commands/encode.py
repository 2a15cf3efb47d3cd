"""Encode videos and images with an autoencoder of any family into a cache of latents: one file a clip, and an index.

A run that was interrupted goes on where it was. Under scripts/launch/ranks.py, ranks share the clips, or each of them
with --parallel tiles or rows. docs/latents.md has the format.
"""

from __future__ import annotations

import argparse

from mg import cli
from mg.distributed import start
from mg.inference import flags
from mg.inference.clips import find_sources
from mg.inference.encode import Storing, encode_files
from mg.inference.options import Options
from mg.io.latents import FLOAT_DTYPES, KINDS


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    flags.add_source_flags(parser)
    group = parser.add_argument_group("Results")
    group.add_argument("--output_path", required=True, metavar="PATH", help="folder of the cache (required)")
    text = "posterior: mean and deviation, sample: one of them, codes: integers (default: the first that a model gives)"
    group.add_argument("--kind", choices=KINDS, help=text)
    group.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    group.add_argument("--dtype_out", default="fp32", choices=FLOAT_DTYPES, help="type stored (default: %(default)s)")
    group.add_argument("--overwrite", action="store_true", help="replace files from other weights or options")
    flags.add_sampling_flags(parser)
    flags.add_model_flags(parser)
    flags.add_parallel_flag(parser, flags.CLIPS, flags.TILES, flags.ROWS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    options = Options(flags.given_sampling(args), seed=args.seed)
    storing = Storing(args.kind, args.dtype_out, args.overwrite)
    flags.set_up(args)
    place = start()
    sources = find_sources(args.output_path, args.input, args.csv_path, args.video_folder)
    return 2 if encode_files(flags.given_session(args), sources, args.output_path, options, storing, place) else 0


def run() -> None:
    """What is installed as mg-encode."""
    cli.run_script(main)
