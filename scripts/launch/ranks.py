"""Run a script in several processes that share its work: scripts/launch/ranks.py 8 SCRIPT --FLAGS.

SCRIPT is scripts/reconstruct.py, encode.py, decode.py, train.py or train_tae.py; its --output_path must be given, and
has the logs of all ranks in its folder "ranks". The exit code is that of one process. With several hosts, run it on
each of them at the same time, with --hosts, --host, --address and --port before the number; they share the folder.
"""

from __future__ import annotations

import argparse

from mg import cli
from mg.checks import require_whole
from mg.files import require_file
from mg.ranks import Hosts, run_ranks

MOST = 1024


def main(arguments: list[str] | None = None) -> int:
    parser = cli.ArgumentParser(
        description=__doc__, usage="%(prog)s [...] RANKS SCRIPT --output_path FOLDER [--FLAG ...]"
    )
    parser.add_argument("--hosts", type=int, default=1, help="how many computers (default: %(default)s)")
    parser.add_argument("--host", type=int, default=0, help="which of them this is, from 0 (default: %(default)s)")
    parser.add_argument("--address", default=Hosts.address, help="of host 0 (default: %(default)s)")
    parser.add_argument("--port", type=int, help="a free one of host 0 (default: found, of one host)")
    parser.add_argument("ranks", type=int, help="how many processes on each, such as one for each card")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the script and its flags")
    args = parser.parse_args(arguments)
    require_whole("ranks", args.ranks, 1, MOST)
    finder = cli.ArgumentParser("", add_help=False)
    finder.add_argument("--output_path", required=True)
    output = finder.parse_known_args(args.command)[0].output_path
    require_file(args.command[0], "a script")
    hosts = Hosts(args.hosts, args.host, args.address, args.port)
    return run_ranks(args.command, args.ranks, output, hosts)


if __name__ == "__main__":
    cli.run_script(main)
