"""Reconstruct videos and images with an autoencoder of any family, and measure how good the reconstructions are.

Without arguments: a sample clip, with the model that ships with the package, to samples/recons/. A test set is named by
--video_folder, with --csv_path if only some of it is wanted; under scripts/launch/ranks.py, ranks share it, or each
clip of it with --parallel tiles or rows.
docs/evaluation.md has more.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from mg import cli
from mg.distributed import start
from mg.inference import flags
from mg.inference.clips import find_sources, sample_clip
from mg.inference.options import Options
from mg.inference.outputs import SAVED, Saving
from mg.inference.reconstruct import reconstruct
from mg.metrics.choose import choose_metrics
from mg.models.session import Session


def parse_args(arguments: list[str] | None = None, description: str = __doc__) -> argparse.Namespace:
    parser = cli.ArgumentParser(description)
    flags.add_source_flags(parser)
    group = parser.add_argument_group("Results")
    group.add_argument(
        "--output_path", default="samples/recons", metavar="PATH", help="folder for results (default: %(default)s)"
    )
    group.add_argument(
        "--save_videos", default="all", choices=SAVED, help="side_by_side comes with contact sheets (default: all)"
    )
    cli.add_resume_flag(group)
    group.add_argument("--save_folders", action="store_true", help="also write OUTPUT_PATH_ori and OUTPUT_PATH_rec")
    group.add_argument("--save_frames", action="store_true", help="also every frame as a PNG, in NAME/gth and NAME/rec")
    group.add_argument(
        "--spatial", action="store_true", help="also each frame by itself; with --save_folders, OUTPUT_PATH_spatial"
    )
    group.add_argument("--batch_size", type=int, default=1, help="clips of one shape computed at once (default: 1)")
    group.add_argument("--sample", action="store_true", help="decode a sample of the posterior instead of its mean")
    group.add_argument("--seed", type=int, default=0, help="of the sample (default: %(default)s)")
    flags.add_output_rate_flag(group)
    flags.add_sampling_flags(parser)
    flags.add_metric_flags(parser)
    flags.add_model_flags(parser)
    flags.add_parallel_flag(parser, flags.CLIPS, flags.TILES, flags.ROWS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None, description: str = __doc__) -> int:
    args = parse_args(arguments, description)
    options = Options(flags.given_sampling(args), args.sample, args.seed, args.batch_size)
    saving = Saving(
        args.save_videos, args.save_folders, output_fps=args.output_fps, resume=args.resume, frames=args.save_frames
    )
    flags.set_up(args)
    place = start()
    given = args.input, args.csv_path, args.video_folder
    named = any(name is not None for name in given)
    sources = find_sources(args.output_path, *given) if named else [sample_clip()]
    session = flags.given_session(args)
    if args.spatial:
        saving = replace(saving, images=Session(flags.given_model(args).image_model(), args.use_tile))
    metrics = choose_metrics(args.metric, flags.given_networks(args))
    return 2 if reconstruct(session, sources, args.output_path, options, metrics, saving, place) else 0


def run() -> None:
    """What is installed as mg-reconstruct."""
    cli.run_script(main)
