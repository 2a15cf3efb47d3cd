"""Reconstruct videos and images with a TAE, and measure how good the reconstructions are.

Without arguments: a sample clip, with the model that ships with the package, to samples/recons/.
"""

import argparse
from dataclasses import fields

from mg import runtime
from mg.errors import InputError
from mg.inference.reconstruct import Options, reconstruct
from mg.models.tile_plan import BLENDS
from mg.models.tiling import Tiles

_UNITS = {
    **dict.fromkeys(("encode_tile", "encode_overlap", "decode_tile", "decode_overlap"), "frames"),
    **dict.fromkeys(("spatial_tile", "spatial_overlap"), "pixels"),
    "tile_batch": "tiles computed at once",
}


def parse_args() -> argparse.Namespace:
    parser = runtime.ArgumentParser(description=__doc__)
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
    parser.add_argument("--use_tile", action="store_true", help="tile in time and space, with the sizes below")
    for name, unit in _UNITS.items():
        parser.add_argument(
            f"--{name}", type=int, default=getattr(Tiles, name), help=f"in {unit} (default: %(default)s)"
        )
    for name in ("time_blend", "spatial_blend"):
        text = "how weights change over what tiles share (default: %(default)s)"
        parser.add_argument(f"--{name}", default=getattr(Tiles, name), choices=BLENDS, help=text)
    parser.add_argument(
        "--shared_statistics",
        action=argparse.BooleanOptionalAction,
        default=Tiles.shared_statistics,
        help="normalise all tiles of a frame by a sample of the whole frame (default: no)",
    )
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
    tiles = Tiles(**{field.name: getattr(args, field.name) for field in fields(Tiles)}) if args.use_tile else None
    options = Options(args.num_frames, size, args.sample, args.seed, tiles)
    runtime.setup(args.device_target, args.mode, args.jit_level)
    failed = reconstruct(args.input, args.ckpt_path, args.output_path, args.dtype, options)
    return 2 if failed else 0


if __name__ == "__main__":
    runtime.run_script(main)
