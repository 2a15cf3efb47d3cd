"""Decode a cache of latents, or latents that a diffusion model made, to videos and images.

Files that scripts/encode_tae.py wrote give videos of the recorded frames, size and rate. Others (.npy, .npz or
.safetensors with one array (z, t, h, w) or (B, z, t, h, w)) give all their frames.
"""

import argparse
from fractions import Fraction

from mg import cli, runtime
from mg.inference import flags
from mg.inference.decode import decode_files


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--input", required=True, help="a file of latents, or a folder of them")
    parser.add_argument("--output_path", default="samples/decoded", help="folder for results (default: %(default)s)")
    parser.add_argument("--scaled", action="store_true", help="the latents are (z - shift) * scaling; undo that first")
    parser.add_argument("--any_weights", action="store_true", help="also decode latents that other weights made")
    parser.add_argument(
        "--fps", type=flags.rate, default=Fraction(24), help="of files that do not say it (default: %(default)s)"
    )
    flags.add_model_flags(parser)
    flags.add_tile_flags(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    runtime.setup(args.device_target, args.mode, args.jit_level)
    tiles = flags.given_tiles(args)
    failed = decode_files(
        args.input, args.output_path, args.ckpt_path, args.dtype, tiles, args.scaled, args.any_weights, args.fps
    )
    return 2 if failed else 0


if __name__ == "__main__":
    cli.run_script(main)
