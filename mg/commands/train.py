"""Train an autoencoder of any family on videos and images.

Every key of the recipe is also a flag, which wins: --learning_rate 1e-4 --use_outlier_penalty_loss True. --model says
which family's settings are shown here. Under scripts/launch/ranks.py, all ranks train together. docs/training.md has
more.
"""

from __future__ import annotations

from functools import partial

from mg import cli
from mg.training import command

parse_args = partial(command.parse, __doc__)


def main() -> int:
    return command.train(*parse_args())


def run() -> None:
    """What is installed as mg-train."""
    cli.run_script(main)
