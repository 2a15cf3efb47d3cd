"""Reconstruct videos and images with a TAE, and measure how good the reconstructions are.

Without arguments: a sample clip, with the model that ships with the package, to samples/recons/.
"""

import argparse

from mg import runtime
from mg.errors import InputError
from mg.inference.reconstruct import Options, reconstruct


def parse_args() -> argparse.Namespace:
    parser = runtime.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", help="a video, an image, or a folder of both (default: a sample clip is drawn)")
    parser.add_argument("--ckpt_path", help="weights of a TAE (default: the model that ships with the package)")
    parser.add_argument("--output_path", default="samples/recons", help="folder for results (default: %(default)s)")
    parser.add_argument("--num_frames", type=int, help="take so many frames of each clip (default: all)")
    parser.add_argument(
        "--image_size", type=int, nargs="+", help="side, or height and width, in pixels (default: as it is)"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=runtime.DTYPE_NAMES, help="auto: fp32 on CPU, bf16 on Ascend"
    )
    parser.add_argument("--device_target", default="CPU", choices=runtime.DEVICES)
    parser.add_argument("--mode", default="graph", choices=runtime.MODES)
    parser.add_argument("--jit_level", choices=runtime.JIT_LEVELS, help="optimisation of graphs (default: MindSpore's)")
    parser.add_argument("--sample", action="store_true", help="decode a sample of the posterior instead of its mean")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.image_size is not None and len(args.image_size) > 2:
        raise InputError(
            f"image_size={args.image_size} has {len(args.image_size)} values; give the side, or height and width"
        )
    size = None if args.image_size is None else (args.image_size[0], args.image_size[-1])
    options = Options(args.num_frames, size, args.sample, args.seed)
    runtime.setup(args.device_target, args.mode, args.jit_level)
    failed = reconstruct(args.input, args.ckpt_path, args.output_path, args.dtype, options)
    return 2 if failed else 0


if __name__ == "__main__":
    runtime.run_script(main)
