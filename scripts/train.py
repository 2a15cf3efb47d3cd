"""Train a TAE on videos and images.

Every key of the recipe is also a flag, which wins: --learning_rate 1e-4 --use_outlier_penalty_loss True. Under msrun,
all ranks train together. docs/training.md has the keys and what a run folder holds.
"""

from __future__ import annotations

import argparse

from mg import cli
from mg.cli import add_flags, given_flags
from mg.config import build, read_recipe
from mg.errors import InputError
from mg.training.loop import RECIPE, Recipe, train


def parse_args(arguments: list[str] | None = None) -> tuple[Recipe, argparse.Namespace]:
    parser = cli.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="a recipe, such as configs/tae/train/mixed_256x256x32.yaml")
    parser.add_argument("--output_path", required=True, help="the run folder")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=True,
        default=False,
        type=lambda text: {"true": True, "false": False}.get(text.lower(), text),
        metavar="PATH",
        help="go on from the newest checkpoint of the run folder, or from this one",
    )
    add_flags(parser, *RECIPE)
    args = parser.parse_args(arguments)
    recipe = {} if args.config is None else read_recipe(args.config)
    if args.resume == "" or not args.output_path.strip():
        raise InputError("--output_path and --resume take names that are not empty")
    return Recipe(*build(RECIPE, recipe, given_flags(args, *RECIPE))), args


def main() -> int:
    recipe, args = parse_args()
    return train(recipe, args.output_path, args.resume)


if __name__ == "__main__":
    cli.run_script(main)
