"""What benchmark.py and the processes it measures say to each other: one line of JSON a command, one a reply.

Imports nothing heavy, so that the memory of a process is its own library's alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

# As it was before mg was imported, which may keep MindSpore from a slow convolution; others need no such thing.
ENVIRONMENT = {"GLOG_v": "3", **os.environ}
Run = Callable[[], "list[np.ndarray]"]


@dataclass(frozen=True)
class Setup:
    """What all cases share. family, weights: of the model, and its file; config, threads: for peers."""

    family: str
    weights: str
    config: dict[str, Any]
    dtype: str = "auto"
    device_target: str = "CPU"
    threads: int = 2


@dataclass(frozen=True)
class Case:
    """One thing to measure in a process of its own.

    part: encode, decode or train. size: (T, H, W) of the clip. latents: (z, t, h, w) of it.
    tiles: fields of mg.models.tiling.tiles.Tiles, or None for whole clips.
    channels_last: the memory layout of PyTorch's frames.
    """

    part: str
    size: tuple[int, int, int]
    latents: tuple[int, int, int, int]
    setup: Setup
    tiles: dict[str, Any] | None = None
    channels_last: bool = False

    @classmethod
    def from_json(cls, text: str) -> Case:
        fields = json.loads(text)
        return cls(**{**fields, "setup": Setup(**fields["setup"])})

    def clip(self) -> np.ndarray:
        """(1, 3, T, H, W) fp32, uniform in [-1, 1]."""
        return np.random.default_rng(0).uniform(-1, 1, (1, 3, *self.size)).astype(np.float32)

    def noise(self, shape: Sequence[int] | None = None) -> np.ndarray:
        """Standard normal, fp32, of the latents' shape: the latents to decode, the noise of a training step."""
        return np.random.default_rng(1).standard_normal(shape or (1, *self.latents), dtype=np.float32)


class Child:
    """A process that measures one case, and is stopped while it has nothing to do: idle threads cost time to others.

    Use it as a context, which ends it. The first command should be "ready", which waits until all is built.
    """

    def __init__(self, script: str, case: Case):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(script)), json.dumps(asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )

    def ask(self, do: str, *arguments: str) -> dict[str, Any]:
        """Send a command and wait for what comes back; a reply with "error" says why there is nothing else in it."""
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps([do, *arguments]) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it has ended; the reply says why, or is missing
            pass
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            return {"error": f"the process ended with code {code}; if memory ran out, take fewer frames or less size"}
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def serve(build: Callable[[Case], tuple[Run, dict[str, Callable]]], expected: type[Exception]) -> None:
    """Be such a process: build what is measured, then obey commands.

    build: case -> what is measured, and more commands by name, whose results are replies.
    expected: what is wrong with the input, and is told instead of raised.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever libraries print
    try:
        run, more = build(Case.from_json(sys.argv[1]))
        commands = {"ready": dict, "run": lambda path="": timed(run, path), "memory": peak_memory, **more}
        for line in sys.stdin:
            do, *arguments = json.loads(line)
            _reply(replies, commands[do](*arguments))
    except expected as error:
        _reply(replies, {"error": str(error)})


def timed(run: Run, path: str = "") -> dict[str, float]:
    """Seconds of a run. With a path, its results are written there, to be compared with another library's."""
    start = time.perf_counter()
    results = run()
    seconds = time.perf_counter() - start
    if path:
        np.savez(path, *results)
    return {"seconds": seconds}


def peak_memory() -> dict[str, float]:
    """Largest resident size so far. Not getrusage's, which begins with that of the process that started this one."""
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return {"peak_gb": int(line.split()[1]) * 1024 / 1e9}


def _reply(replies: Any, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()
