"""Run a script in several processes on this computer that share its work: scripts/launch/ranks.py 8 SCRIPT --FLAGS.

SCRIPT is scripts/reconstruct.py, encode.py, train.py or train_tae.py; its --output_path must be given, and has the logs
of all ranks in its folder "ranks". The exit code is that of one process.
"""

from __future__ import annotations

import argparse

from mg import cli
from mg.checks import require_whole
from mg.files import require_file
from mg.ranks import run_ranks

MOST = 1024


def main(arguments: list[str] | None = None) -> int:
    parser = cli.ArgumentParser(description=__doc__, usage="%(prog)s RANKS SCRIPT --output_path FOLDER [--FLAG ...]")
    parser.add_argument("ranks", type=int, help="how many processes, such as one for each card")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the script and its flags")
    args = parser.parse_args(arguments)
    require_whole("ranks", args.ranks, 1, MOST)
    finder = cli.ArgumentParser("", add_help=False)
    finder.add_argument("--output_path", required=True)
    output = finder.parse_known_args(args.command)[0].output_path
    require_file(args.command[0], "a script")
    return run_ranks(args.command, args.ranks, output)


if __name__ == "__main__":
    cli.run_script(main)
