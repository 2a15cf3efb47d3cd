"""Measure the clips of one folder against those of equal names in another, whoever made them.

For any codec: --real_video_dir holds the originals, --generated_video_dir what came back. docs/evaluation.md has more.
"""

from __future__ import annotations

import argparse

from mg import cli, runtime
from mg.evaluation.compare import compare
from mg.inference import flags
from mg.io.clip import Sampling
from mg.metrics.choose import choose_metrics


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    group = parser.add_argument_group("Files")
    group.add_argument("--real_video_dir", required=True, metavar="PATH", help="folder of originals (required)")
    group.add_argument(
        "--generated_video_dir", required=True, metavar="PATH", help="folder of reconstructions (required)"
    )
    group.add_argument(
        "--output_path", default="samples/evaluation", metavar="PATH", help="folder for results (default: %(default)s)"
    )
    cli.add_resume_flag(group)
    group = parser.add_argument_group("Frames")
    group.add_argument(
        "--sample_fps", type=cli.rate, metavar="X", help="take what is shown at so many frames a second (default: each)"
    )
    group.add_argument(
        "--seconds", type=cli.rate, metavar="X", help="take what is shown before so many (seconds; default: all)"
    )
    group.add_argument(
        "--sample_rate", type=int, default=1, metavar="N", help="take every so many-th of these (default: each)"
    )
    group.add_argument("--num_frames", type=int, metavar="N", help="take so many frames of each clip (default: all)")
    group.add_argument(
        "--resolution", type=int, metavar="N", help="scale the shorter side to so many pixels (default: as it is)"
    )
    group.add_argument(
        "--crop_size",
        type=int,
        metavar="N",
        help="side in pixels of a square out of the centre (default: whole frames)",
    )
    group = parser.add_argument_group("Networks")
    group.add_argument(
        "--batch_size", type=int, default=4, metavar="N", help="frames that they take at once (default: %(default)s)"
    )
    group.add_argument("--device", default="CPU", choices=runtime.DEVICES, help="where they run (default: %(default)s)")
    flags.add_metric_flags(parser)
    return parser.parse_args(arguments)


def main() -> int:
    args = parse_args()
    sampling = Sampling(
        sample_fps=args.sample_fps,
        stride=args.sample_rate,
        num_frames=args.num_frames,
        seconds=args.seconds,
        resolution=args.resolution,
        crop_size=args.crop_size,
    )
    runtime.setup(args.device, dtype="fp32")  # of networks that score
    metrics = choose_metrics(args.metric, flags.given_networks(args), args.batch_size)
    failed = compare(args.real_video_dir, args.generated_video_dir, args.output_path, metrics, sampling, args.resume)
    return 2 if failed else 0


def run() -> None:
    """What is installed as mg-compare."""
    cli.run_script(main)
