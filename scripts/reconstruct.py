"""Reconstruct videos and images with a TAE, and measure how good the reconstructions are.

Without arguments: a sample clip, with the model that ships with the package, to samples/recons/. A test set is named by
--video_folder, with --csv_path if only some of it is wanted; under msrun, ranks share it. docs/evaluation.md has more.
"""

import argparse

from mg import cli, runtime
from mg.inference import flags
from mg.inference.options import Options
from mg.inference.outputs import SAVED
from mg.inference.reconstruct import Saving, reconstruct
from mg.inference.clips import find_sources
from mg.metrics.choose import choose_metrics
from mg.distributed import start


def parse_args() -> argparse.Namespace:
    parser = cli.ArgumentParser(description=__doc__)
    flags.add_source_flags(parser)
    parser.add_argument("--output_path", default="samples/recons", help="folder for results (default: %(default)s)")
    flags.add_model_flags(parser)
    flags.add_clip_flags(parser)
    flags.add_tile_flags(parser)
    parser.add_argument("--batch_size", type=int, default=1, help="clips of one shape computed at once (default: 1)")
    parser.add_argument("--sample", action="store_true", help="decode a sample of the posterior instead of its mean")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    parser.add_argument(
        "--save_videos", default="all", choices=SAVED, help="side_by_side comes with contact sheets (default: all)"
    )
    parser.add_argument("--save_folders", action="store_true", help="also write OUTPUT_PATH_ori and OUTPUT_PATH_rec")
    parser.add_argument(
        "--spatial", action="store_true", help="also each frame by itself; with --save_folders, OUTPUT_PATH_spatial"
    )
    flags.add_metric_flags(parser)
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    size, tiles = flags.given_size(args), flags.given_tiles(args)
    options = Options(args.num_frames, size, args.sample, args.seed, tiles, args.sample_stride)
    saving = Saving(args.save_videos, args.save_folders, args.spatial)
    runtime.setup(args.device_target, args.mode, args.jit_level)
    rank, ranks = start()
    given = args.input, args.csv_path, args.video_folder
    sources = find_sources(args.output_path, *given) if any(name is not None for name in given) else None
    failed = reconstruct(
        sources,
        args.ckpt_path,
        args.output_path,
        args.dtype,
        options,
        choose_metrics(args.metric, flags.given_networks(args)),
        saving,
        args.batch_size,
        rank,
        ranks,
    )
    return 2 if failed else 0


if __name__ == "__main__":
    cli.run_script(main)
