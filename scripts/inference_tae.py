"""Reconstruct videos and images with a TAE, and measure how good the reconstructions are.

Without arguments: a sample clip, with the model that ships with the package, to samples/recons/.
"""

import argparse

from mg import runtime
from mg.inference import flags
from mg.inference.reconstruct import Options, reconstruct


def parse_args() -> argparse.Namespace:
    parser = runtime.ArgumentParser(description=__doc__)
    parser.add_argument("--input", help="a video, an image, or a folder of both (default: a sample clip is drawn)")
    parser.add_argument("--output_path", default="samples/recons", help="folder for results (default: %(default)s)")
    flags.add_model_flags(parser)
    flags.add_clip_flags(parser)
    flags.add_tile_flags(parser)
    parser.add_argument("--sample", action="store_true", help="decode a sample of the posterior instead of its mean")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    options = Options(args.num_frames, flags.given_size(args), args.sample, args.seed, flags.given_tiles(args))
    runtime.setup(args.device_target, args.mode, args.jit_level)
    failed = reconstruct(args.input, args.ckpt_path, args.output_path, args.dtype, options)
    return 2 if failed else 0


if __name__ == "__main__":
    runtime.run_script(main)
