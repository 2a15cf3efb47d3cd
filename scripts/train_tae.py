"""Train a TAE on videos and images: scripts/train.py whose model is tae unless the recipe or a flag names another.

Every key of the recipe is also a flag, which wins: --learning_rate 1e-4 --use_outlier_penalty_loss True. Under
scripts/launch/ranks.py, all ranks train together. docs/training.md has more.
"""

from __future__ import annotations

from functools import partial

from mg import cli
from mg.training import command

parse_args = partial(command.parse, __doc__, model="tae")


def main() -> int:
    return command.train(*parse_args())


if __name__ == "__main__":
    cli.run_script(main)
