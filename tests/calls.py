"""Scripts and tools called in the process of the tests, where nothing needs a process of its own."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms

ROOT = Path(__file__).resolve().parents[1]


def call_script(path: str, *arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    """As `conftest.run`, but in this process: run a script or tool of the repository in `cwd`, require its exit code.

    What it changes is put back: folder, command line, import path, handlers of logging, MindSpore's mode. SIGTERM is by
    the fixture `keep_signals`. Output of native code is not caught.
    """
    script = str(ROOT / path)
    command = [script, *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_inside(cwd, command))
        stack.enter_context(_logging_to(err))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        ended = _exit_code(script)
    assert ended == code, f"exit code {ended}, expected {code}\n{out.getvalue()}\n{err.getvalue()}"
    return subprocess.CompletedProcess(command, ended, out.getvalue(), err.getvalue())


def _exit_code(script: str) -> int:
    mode = ms.get_context("mode")
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        return end.code or 0
    finally:
        ms.set_context(mode=mode)
    return 0


@contextlib.contextmanager
def _inside(folder: Path, command: list[str]) -> Iterator[None]:
    """Another working folder and command line; the script's folder is where it finds its neighbours."""
    before = os.getcwd(), sys.argv, list(sys.path)
    os.chdir(folder)
    sys.argv, sys.path[:0] = command, [str(Path(command[0]).parent)]
    try:
        yield
    finally:
        os.chdir(before[0])
        sys.argv, sys.path[:] = before[1], before[2]


@contextlib.contextmanager
def _logging_to(stream: io.StringIO) -> Iterator[None]:
    """Messages of level INFO and above also to the stream, as a script in a process of its own shows them."""
    root, handler = logging.getLogger(), logging.StreamHandler(stream)
    before = root.level, root.handlers[:]
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before[1]
        root.setLevel(before[0])
