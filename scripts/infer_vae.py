"""Reconstruct videos and images: scripts/reconstruct.py with the flags that users of AsymmetricMagVitV2 know.

Windows know nothing of each other. Frames are cut into slices that are laid side by side, and to whole slices, only
with --spatial_mode paste; by default into tiles that are blended, and nothing is cropped.
"""

from __future__ import annotations

import argparse

from mg import cli, runtime
from mg.errors import InputError
from mg.inference import flags
from mg.inference.clips import find_sources
from mg.inference.options import Options
from mg.inference.outputs import Saving
from mg.inference.reconstruct import reconstruct
from mg.io.clip import Sampling
from mg.models import families
from mg.models.session import Session
from mg.models.tiling.tiles import SPATIAL_MODES, Tiles

SLICES = {
    name: getattr(Tiles, name) for name in ("max_size", "min_size", "divide", "max_latent_size", "min_latent_size")
}
TRUTH = {"true": True, "false": False}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    group = parser.add_argument_group("Files")
    group.add_argument("--input_path", required=True, help="a video, an image, or a folder of both (required)")
    group.add_argument("--model_path", required=True, help="weights of any family, a file or folder (required)")
    group.add_argument("--output_folder", default="vae_eval_out", help="for results (default: %(default)s)")
    group.add_argument("--save_frames", action="store_true", help="also every frame, in NAME/gth and NAME/rec")
    group = parser.add_argument_group("Model")
    text = "auto: fp32 on CPU, bf16 on Ascend (default: auto)"
    group.add_argument("--dtype", default="auto", choices=runtime.DTYPE_NAMES, help=text)
    group.add_argument("--device_target", default="CPU", choices=runtime.DEVICES, help="(default: %(default)s)")
    group.add_argument("--mode", default="graph", choices=runtime.MODES, help="of execution (default: %(default)s)")
    text = "true: the mean of the posterior; false: a sample (default: true)"
    group.add_argument("--unregularized", default="true", choices=TRUTH, type=str.lower, help=text)
    group.add_argument("--batch_size", type=int, default=1, help="clips computed at once (default: %(default)s)")
    group = parser.add_argument_group("Frames")
    text = "what is shown at so many frames a second (default: %(default)s)"
    group.add_argument("--sample_fps", type=cli.rate, default="8", metavar="X", help=text)
    text = "take so many frames; -1: all (default: %(default)s)"
    group.add_argument("--sample_frame", type=int, default=-1, metavar="N", help=text)
    text = "ori: as they are; resize: shorter side; centercrop: and a square of it (default: %(default)s)"
    group.add_argument("--process_type", default="ori", choices=("ori", "resize", "centercrop"), help=text)
    group.add_argument("--short_size", type=int, default=256, help="shorter side (pixels; default: %(default)s)")
    group = parser.add_argument_group("Windows and slices")
    windows = {"encoder_init_window": 17, "encoder_window": 17, "decoder_init_window": 5, "decoder_window": 0}
    for name, default in windows.items():
        text = f"{'first' if 'init' in name else 'further'} window; further ones are as long (default: {default})"
        group.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
    group.add_argument("--spatial_mode", default="blend", choices=SPATIAL_MODES, help="see above (default: blend)")
    for name, default in SLICES.items():
        group.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"of paste (default: {default})")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    options = Options(sampling_of(args), not TRUTH[args.unregularized], batch_size=args.batch_size)
    flags.set_up(argparse.Namespace(**vars(args), jit_level=None))
    sources = find_sources(args.output_folder, args.input_path)
    model = families.load(args.model_path, args.dtype)
    slices = {name: getattr(args, name) for name in SLICES}
    decoded = model.window_frames(one_window(args, "decoder"))
    model.tiles = model.tiles.but(
        **flags.apart(one_window(args, "encoder"), decoded), spatial_mode=args.spatial_mode, **slices
    )
    saving = Saving(frames=args.save_frames)
    return 2 if reconstruct(Session(model), sources, args.output_folder, options, saving=saving) else 0


def sampling_of(args: argparse.Namespace) -> Sampling:
    """What is taken of each clip."""
    if args.sample_frame < 1 and args.sample_frame != -1:
        raise InputError(f"sample_frame={args.sample_frame} must be at least 1, or -1 for all")
    return Sampling(
        sample_fps=args.sample_fps,
        num_frames=None if args.sample_frame == -1 else args.sample_frame,
        resolution=None if args.process_type == "ori" else args.short_size,
        crop_size=args.short_size if args.process_type == "centercrop" else None,
        slices=(args.max_size, args.min_size, args.divide) if args.spatial_mode == "paste" else None,
    )


def one_window(args: argparse.Namespace, which: str) -> int:
    """The length of all windows. Raises InputError for further ones of another length."""
    first, further = getattr(args, f"{which}_init_window"), getattr(args, f"{which}_window")
    if further not in (0, first):
        raise InputError(
            f"{which}_window={further} must be {which}_init_window={first}, or 0: all windows are alike, and begin anew"
        )
    return first


if __name__ == "__main__":
    cli.run_script(main)
