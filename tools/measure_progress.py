"""Watch a command that takes long: its memory, what it says of its progress, and how right its estimates are.

    tools/measure_progress.py --output_path progress.json scripts/reconstruct.py --input clip.mp4 ...

Without --help's scripts, a recording that was written before is judged anew. Peaks are of the process itself, in MB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from mg import cli
from mg.errors import InputError
from mg.files import whole_file

_LINE = re.compile(r"(\d+) of (\d+) \w+, ([\d:]+) so far, about ([\d:]+) left")
_EVERY_S = 1.0


def main(arguments: list[str] | None = None) -> int:
    parser = cli.ArgumentParser(description=__doc__, usage="%(prog)s [--output_path FILE] SCRIPT [--FLAG ...]")
    parser.add_argument("--output_path", default="progress.json", help="JSON file (default: %(default)s)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="a Python script and its flags")
    args = parser.parse_args(arguments)
    if not args.command:
        raise InputError("there is nothing to watch; name a script and its flags")
    record = watch(args.command)
    record["found"] = judge(record)
    with whole_file(args.output_path) as part:
        part.write_text(json.dumps(record) + "\n")
    print(json.dumps(record["found"], indent=2))
    return record["code"]


def watch(command: Sequence[str]) -> dict:
    """Run a script: {"code", "lines": [seconds, text], "memory": [seconds, MB]}; its lines are shown as they come."""
    start, lines, memory = time.monotonic(), [], []
    process = subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.PIPE, text=True, env={"GLOG_v": "3", **os.environ}
    )

    def listen() -> None:
        for line in process.stderr:
            lines.append((time.monotonic() - start, line.rstrip()))
            sys.stderr.write(line)

    listener = threading.Thread(target=listen)
    listener.start()
    while process.poll() is None:
        memory.append((time.monotonic() - start, _resident(process.pid)))
        time.sleep(_EVERY_S)
    listener.join()
    return {"code": process.returncode, "seconds": time.monotonic() - start, "lines": lines, "memory": memory}


def judge(record: dict) -> dict[str, float | None]:
    """What a record shows.

    longest_silence_s: between two lines of progress, or one and the end. estimate_from_20: the worst factor by which an
    estimate of what is left was off, from 20 % on, where more than 20 s were left; such lines are seldom exact to the
    second. growth: largest memory after a share of 40 %, over that until then, in which the third window lies.
    """
    lines = [(at, [*map(_number, found.groups())]) for at, text in record["lines"] if (found := _LINE.search(text))]
    if not lines:
        return {"longest_silence_s": None, "estimate_from_20": None, "growth": None}
    times, end = [at for at, _ in lines], record["seconds"]
    factors = [
        max(left / (end - at), (end - at) / left)
        for at, (done, total, _, left) in lines
        if done >= 0.2 * total and min(left, end - at) > 20
    ]
    middle = next((at for at, (done, total, *_) in lines if done >= 0.4 * total), end)
    before, after = ([mb for at, mb in record["memory"] if (at > middle) == late] for late in (False, True))
    return {
        "longest_silence_s": max(b - a for a, b in zip(times, [*times[1:], end])),
        "estimate_from_20": max(factors, default=None),
        "growth": max(after) / max(before) if before and after else None,
    }


def _number(text: str) -> int:
    """Of digits, or of seconds as M:SS or H:MM:SS."""
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return total


def _resident(process: int) -> float:
    """MB of memory that a process holds now; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    cli.run_script(main)
