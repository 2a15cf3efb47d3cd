"""Several processes of one script on this computer, as MindSpore's dynamic cluster: started, watched and ended.

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
from pathlib import Path

from mg.errors import InputError
from mg.files import make_folder
from mg.locks import is_busy

_FRAMEWORK = (b"[INFO] ", b"[WARNING] ")  # how MindSpore's own lines begin
_POLL_S = 0.2
_GRACE_S = 10.0  # for the others, once one has failed
_SAVING_S = 120.0  # for all, once they were interrupted


def run_ranks(command: list[str], ranks: int, output: Path | str) -> int:
    """Run a Python script and its flags in so many processes; the largest of their exit codes.

    Each writes to output/ranks/worker_N.log. What rank 0 writes is shown, and every line of others that says "error:".
    Raises InputError where another run is at work in `output`.
    """
    if is_busy(Path(output)):
        raise InputError(f"another run is writing to '{output}'; wait for it, or name another --output_path")
    logs = make_folder(Path(output) / "ranks")
    cluster = {"MS_WORKER_NUM": str(ranks), "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": str(_free_port())}
    files = [logs / f"worker_{rank}.log" for rank in range(ranks)]
    processes = [_start(command, logs / "scheduler.log", {**cluster, "MS_ROLE": "MS_SCHED", "RANK_ID": "0"})]
    try:
        processes += [_start(command, file, {**cluster, **_role(rank)}) for rank, file in enumerate(files)]
        return _watch(processes[1:], [_Log(file, rank > 0) for rank, file in enumerate(files)])
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _role(rank: int) -> dict[str, str]:
    return {"MS_ROLE": "MS_WORKER", **dict.fromkeys(("MS_NODE_ID", "RANK_ID", "DEVICE_ID"), str(rank))}


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
                return 130 if interrupted else max(_code(code) for code in codes)
            if deadline is None and any(codes):
                deadline = time.monotonic() + _GRACE_S
            time.sleep(_POLL_S)
        except KeyboardInterrupt:
            interrupted, deadline = True, time.monotonic() + (0 if interrupted else _SAVING_S)
            for worker in workers:
                worker.send_signal(signal.SIGINT)


def _code(code: int | None) -> int:
    """Of a process that has ended, 1 if by a signal; 0 for one that is still to be ended."""
    return 1 if code is not None and code < 0 else code or 0


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
