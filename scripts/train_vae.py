"""Train Open-Sora's VAE as its users know it: scripts/train_vae.py STAGE.yaml --data-path CSV [--ckpt-path WEIGHTS].

The CSV's column `path`, or `video`, has absolute names, or names below --video_folder. All else is scripts/train.py:
every key of the recipe is a flag, which wins; --output_path is runs/opensora_vae/STAGE unless it is given. Under msrun,
all ranks train together.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mg import cli
from mg.commands.translate import translate, value_of, with_video_folder
from mg.training import command
from mg.training.recipe import Recipe

FAMILY = "opensora_vae"


def parse_args(arguments: list[str] | None = None) -> tuple[Recipe, argparse.Namespace]:
    words = translate(sys.argv[1:] if arguments is None else arguments, {"data_path": "csv_path"}, first="config")
    words = with_video_folder(words)
    recipe = value_of(words, "config")
    if recipe is not None and value_of(words, "output_path") is None:
        words += ["--output_path", f"runs/{FAMILY}/{Path(recipe).stem}"]
    return command.parse(__doc__, words, model=FAMILY)


def main() -> int:
    return command.train(*parse_args())


if __name__ == "__main__":
    cli.run_script(main)
