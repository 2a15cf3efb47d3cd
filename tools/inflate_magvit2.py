"""Inflate O2-MAGVIT2's image model to a video model that gives exactly the same for images and for equal frames."""

import argparse

from mg import cli, files
from mg.locks import hold_file
from mg.models import weights
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.inflate import inflate


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--src", required=True, help="the image model: a file of ours, or the original's")
    parser.add_argument("--target", required=True, help="the file to write, .ckpt or .safetensors")
    parser.add_argument(
        "--dtype", default="fp32", choices=weights.STORAGE_DTYPES, help="stored type (default: %(default)s)"
    )
    parser.add_argument(
        "--temporal_downsample",
        nargs="+",
        choices=("0", "1"),
        help="for each level that halves space, whether it halves time too (default: the last two do)",
    )
    text = f"of an original's file of other sizes than the published ones (default: {O2Magvit2Config.norm_groups})"
    parser.add_argument("--norm_groups", type=int, default=O2Magvit2Config.norm_groups, help=text)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    weights.check_target(args.target, args.src)
    halving = args.temporal_downsample and [value == "1" for value in args.temporal_downsample]
    done = inflate(args.src, halving, norm_groups=args.norm_groups)
    with hold_file(args.target):
        done.model.save(args.target, args.dtype)
    print(
        f"source   {done.source}: {done.kernels} kernels got frames of zeros before their own, {done.doubled} tensors "
        f"of depth to space were doubled, {done.copied} copied"
    )
    for key, value in done.model.config.items():
        print(f"config   {key} = {value}")
    print(f"target   {args.target}: stored as {args.dtype}")
    print(f"sha256   {files.sha256(args.target)}")


if __name__ == "__main__":
    cli.run_script(main)
