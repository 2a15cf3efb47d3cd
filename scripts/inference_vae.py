"""Reconstruct clips with Open-Sora's VAE as its users know it, into three folders.

scripts/inference_vae.py CONFIG.yaml --ckpt-path WEIGHTS --data-path CSV --save-dir DIR writes DIR_ori, DIR_rec and
DIR_spatial, the image VAE alone, at 24 frames a second, or at each source's rate with --keep_fps. The CSV's column
`path`, or `video`, has absolute names, or names below --video_folder. CONFIG.yaml has flags of scripts/reconstruct.py,
which are taken here too, and win; --help lists them. Figures are in DIR.
"""

from __future__ import annotations

import argparse
import sys

from mg import cli
from mg.commands import reconstruct
from mg.commands.translate import as_flags, translate, value_of, with_video_folder
from mg.config import read_recipe

NAMES = {"data_path": "csv_path", "save_dir": "output_path"}
FPS = "24"  # of Open-Sora's script, whatever the source has


def flags(arguments: list[str] | None = None) -> list[str]:
    """The flags of scripts/reconstruct.py that a command line means."""
    words = translate(sys.argv[1:] if arguments is None else arguments, NAMES, first="config")
    finder = cli.ArgumentParser(__doc__, add_help=False)  # --help has the flags of scripts/reconstruct.py
    finder.add_argument("--config", help="YAML file of flags (default: none)")
    finder.add_argument("--keep_fps", action="store_true", help="write videos at their sources' rates (default: 24)")
    known, rest = finder.parse_known_args(words)
    settings = {} if known.config is None else read_recipe(known.config)
    rate = [] if known.keep_fps or value_of(rest, "output_fps") else ["--output_fps", FPS]
    return with_video_folder(["--save_folders", "--save_videos", "none", *as_flags(settings), *rest, *rate])


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    return reconstruct.parse_args(flags(arguments), __doc__)


def main() -> int:
    return reconstruct.main(flags(), __doc__)


if __name__ == "__main__":
    cli.run_script(main)
