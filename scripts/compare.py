"""Measure the clips of one folder against those of equal names in another, whoever made them.

For any codec: --real_video_dir holds the originals, --generated_video_dir what came back. docs/evaluation.md has more.
"""

import argparse

from mg import cli, runtime
from mg.evaluation.compare import compare
from mg.inference import flags
from mg.io.clip import Sampling
from mg.metrics.choose import choose_metrics


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--real_video_dir", required=True, help="folder of originals")
    parser.add_argument("--generated_video_dir", required=True, help="folder of reconstructions")
    parser.add_argument("--output_path", default="samples/evaluation", help="folder for results (default: %(default)s)")
    parser.add_argument("--sample_fps", type=cli.rate, help="take what is shown at so many frames a second")
    parser.add_argument("--sample_rate", type=int, default=1, help="take every so many-th frame (default: each)")
    parser.add_argument("--num_frames", type=int, help="take so many frames of each clip (default: all)")
    parser.add_argument("--resolution", type=int, help="scale the shorter side to so many pixels (default: as it is)")
    parser.add_argument("--crop_size", type=int, help="side of the square cut from the centre (default: whole frames)")
    parser.add_argument("--batch_size", type=int, default=4, help="frames that networks take at once (default: 4)")
    parser.add_argument("--device", default="CPU", choices=runtime.DEVICES, help="for networks (default: %(default)s)")
    flags.add_metric_flags(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    sampling = Sampling(
        sample_fps=args.sample_fps,
        stride=args.sample_rate,
        num_frames=args.num_frames,
        resolution=args.resolution,
        crop_size=args.crop_size,
    )
    runtime.setup(args.device)
    metrics = choose_metrics(args.metric, flags.given_networks(args), args.batch_size)
    failed = compare(args.real_video_dir, args.generated_video_dir, args.output_path, metrics, sampling)
    return 2 if failed else 0


if __name__ == "__main__":
    cli.run_script(main)
