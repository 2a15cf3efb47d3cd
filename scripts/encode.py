"""Encode videos and images with a TAE into a cache of latents: one file a clip, and an index.

A run that was interrupted goes on where it was. Under msrun, ranks share the clips. docs/latents.md has the format.
"""

import argparse

from mg import cli, runtime
from mg.inference import flags
from mg.inference.encode import encode_files
from mg.inference.options import Options
from mg.inference.clips import find_sources
from mg.io.latents import FLOAT_DTYPES
from mg.distributed import start


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    flags.add_source_flags(parser)
    parser.add_argument("--output_path", required=True, help="folder of the cache")
    parser.add_argument(
        "--kind", default="posterior", choices=("posterior", "sample"), help="mean and deviation, or one sample of them"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    parser.add_argument("--dtype_out", default="fp32", choices=FLOAT_DTYPES, help="type stored (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace files from other weights or options")
    flags.add_model_flags(parser)
    flags.add_clip_flags(parser)
    flags.add_tile_flags(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    sample = args.kind == "sample"
    size, tiles = flags.given_size(args), flags.given_tiles(args)
    options = Options(args.num_frames, size, sample, args.seed, tiles, args.sample_stride)
    runtime.setup(args.device_target, args.mode, args.jit_level)
    rank, ranks = start()
    sources = find_sources(args.output_path, args.input, args.csv_path, args.video_folder)
    failed = encode_files(
        sources, args.output_path, options, args.ckpt_path, args.dtype, args.dtype_out, args.overwrite, rank, ranks
    )
    return 2 if failed else 0


if __name__ == "__main__":
    cli.run_script(main)
