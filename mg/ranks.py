"""Several processes of one script, as MindSpore's dynamic cluster: those of this host started, watched and ended.

Unlike under `msrun`, they end like one process does: with its exit code, without waiting for ranks that never come, and
what interrupts the launcher interrupts them, so that they can save what they have.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mg.checks import require_whole
from mg.errors import InputError
from mg.files import make_folder
from mg.locks import is_busy

_FRAMEWORK = (b"[INFO] ", b"[WARNING] ")  # how MindSpore's own lines begin
_POLL_S = 0.2
_GRACE_S = 10.0  # for the others, once one has failed
_SAVING_S = 120.0  # for all, once they were interrupted


@dataclass(frozen=True)
class Hosts:
    """How many computers work together, each with as many ranks; which of them this is, and where number 0 is found.

    port: a free one of host 0, which all must be told where there are several.
    """

    count: int = 1
    number: int = 0
    address: str = "127.0.0.1"
    port: int | None = None

    def __post_init__(self) -> None:
        require_whole("hosts", self.count, 1)
        require_whole("host", self.number, 0, self.count - 1)
        if self.count > 1 and (self.port is None or not self.address):
            raise InputError("several hosts need the address and a free port of host 0; give both, on each of them")


def run_ranks(command: list[str], ranks: int, output: Path | str, hosts: Hosts = Hosts()) -> int:
    """Run a Python script and its flags in so many processes on this host; the largest of their exit codes.

    Rank N writes to output/ranks/worker_N.log. What the first one here writes is shown, and every line of others that
    says "error:". Raises InputError where another run is at work in `output`.
    """
    if hosts.number == 0 and is_busy(Path(output)):  # which other hosts cannot tell from their own run
        raise InputError(f"another run is writing to '{output}'; wait for it, or name another --output_path")
    logs, port = make_folder(Path(output) / "ranks"), hosts.port or _free_port()
    total, first = ranks * hosts.count, ranks * hosts.number
    cluster = {"MS_WORKER_NUM": str(total), "MS_SCHED_HOST": hosts.address, "MS_SCHED_PORT": str(port)}
    files = [logs / f"worker_{first + rank}.log" for rank in range(ranks)]
    scheduler, workers = [], []
    try:
        if hosts.number == 0:
            scheduler = [_start(command, logs / "scheduler.log", {**cluster, "MS_ROLE": "MS_SCHED", "RANK_ID": "0"})]
        workers = [_start(command, file, {**cluster, **_role(first + rank, rank)}) for rank, file in enumerate(files)]
        return _watch(workers, [_Log(file, rank > 0) for rank, file in enumerate(files)])
    finally:
        processes = scheduler + workers
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _role(rank: int, device: int) -> dict[str, str]:
    """Of a rank among all hosts', on one of this host's devices."""
    return {"MS_ROLE": "MS_WORKER", **dict.fromkeys(("MS_NODE_ID", "RANK_ID"), str(rank)), "DEVICE_ID": str(device)}


def _start(command: list[str], log: Path, role: dict[str, str]) -> subprocess.Popen:
    """A process that writes to a file, in a session of its own, since Ctrl-C is passed on by the launcher alone."""
    settings = {"env": {"GLOG_v": "3", **os.environ, **role}, "start_new_session": True}  # 3: MindSpore's errors alone
    with open(log, "wb") as file:
        return subprocess.Popen([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT, **settings)


class _Log:
    """A log that another process writes: what is new in it is shown, or its errors alone, but not MindSpore's notes."""

    def __init__(self, path: Path, errors_only: bool):
        self.path, self.errors_only, self.at, self.rest = path, errors_only, 0, b""

    def show(self, seen: set[bytes]) -> None:
        """Write new whole lines to stderr; of errors, those that no other rank had."""
        with open(self.path, "rb") as file:
            file.seek(self.at)
            *lines, self.rest = (self.rest + file.read()).split(b"\n")
            self.at = file.tell()
        for line in lines:
            is_error = line.startswith(b"error:")
            if (is_error or not self.errors_only) and line not in seen and not line.startswith(_FRAMEWORK):
                sys.stderr.buffer.write(line + b"\n")
            if is_error:
                seen.add(line)
        sys.stderr.flush()


def _watch(workers: list[subprocess.Popen], logs: list[_Log]) -> int:
    """Wait for all, as long as none has failed; the exit code."""
    seen, deadline, interrupted = set(), None, False
    while True:
        try:
            codes = [worker.poll() for worker in workers]
            for log in logs:
                log.show(seen)
            if None not in codes or (deadline is not None and time.monotonic() > deadline):
                for log, code in zip(logs, codes):
                    if code is not None and code < 0 and not interrupted:
                        sys.stderr.write(f"error: a rank was ended by {_signal(-code)}; its log is '{log.path}'\n")
                return 130 if interrupted else max(_code(code) for code in codes)
            if deadline is None and any(codes):
                deadline = time.monotonic() + _GRACE_S
            time.sleep(_POLL_S)
        except KeyboardInterrupt:
            interrupted, deadline = True, time.monotonic() + (0 if interrupted else _SAVING_S)
            for worker in workers:
                worker.send_signal(signal.SIGINT)


def _signal(number: int) -> str:
    """The name of a signal."""
    return next((one.name for one in signal.Signals if one == number), f"signal {number}")


def _code(code: int | None) -> int:
    """Of a process that has ended, 1 if by a signal; 0 for one that is still to be ended."""
    return 1 if code is not None and code < 0 else code or 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
