"""Shared fixtures: graph mode, a nano model, real clips where they are at hand."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mg import runtime
from mg.models import families
from mg.models.session import Session
from mg.models.tae.names import is_temporal
from mg.models.tae.tae import TemporalAutoencoder

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
# Two levels, so two frames and 2x2 pixels a latent one: graphs compile in a third of the time that four levels take.
NANO = {"ch": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 2}
FOUR_LEVELS = {**NANO, "ch_mult": (1, 1, 2, 2)}


@pytest.fixture(autouse=True, scope="session")
def graph_mode():
    runtime.setup()
    # Without it, threads of PyNative mode that pass operators on wait busily: ten times as long where cores are taken.
    ms.runtime.launch_blocking()


@contextmanager
def _mode(mode: int) -> Iterator[None]:
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        yield
    finally:
        ms.set_context(mode=before)


def graphs() -> AbstractContextManager[None]:
    """Inside, networks are compiled: slow for each new shape."""
    return _mode(ms.GRAPH_MODE)


def pynative() -> AbstractContextManager[None]:
    """Inside, nothing is compiled: small networks then run at once in any shape."""
    return _mode(ms.PYNATIVE_MODE)


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """A test in `pynative`."""
    with pynative():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden arrays and real clips, which a user's clone does not have."""
    if not SHARED.is_dir():
        pytest.skip("the folder 'shared' with golden arrays and real clips is not beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def nano() -> TemporalAutoencoder:
    """A nano TAE with random spatial weights and temporal parts at their identity start. Not to be changed."""
    np.random.seed(0)
    return TemporalAutoencoder(NANO)


@pytest.fixture(scope="session")
def random_nano() -> TemporalAutoencoder:
    """A nano TAE whose every weight is random. Not to be changed."""
    return randomise(TemporalAutoencoder(NANO))


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A weights file of the nano model whose every weight is random."""
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    randomise(TemporalAutoencoder(NANO)).save(path)
    return path


@pytest.fixture(scope="session")
def session(weights) -> Session:
    """The nano model at work. Whoever changes its tiles puts them back."""
    return Session(families.load(weights))


def randomise(tae: TemporalAutoencoder, seed: int = 0) -> TemporalAutoencoder:
    """Give every parameter a random value that depends on `seed` alone; temporal parts stay near their start."""
    rng = np.random.default_rng(seed)
    for p in tae.get_parameters():
        start = p.asnumpy() if is_temporal(p.name) or len(p.shape) == 1 else 0
        scale = 0.1 if len(p.shape) == 1 else np.prod(p.shape[1:]) ** -0.5
        p.set_data(Tensor((start + scale * rng.standard_normal(p.shape)).astype(np.float32)))
    return tae


def random_clip(*shape: int, seed: int = 0) -> Tensor:
    """Smooth-ish values in [-1, 1]."""
    return Tensor(np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32))


def run(*command: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    """Run a script or tool of the repository in `cwd` and require its exit code."""
    done = subprocess.run(
        [sys.executable, str(ROOT / command[0]), *map(str, command[1:])],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=1800,
        env={**os.environ, "GLOG_v": "3"},
    )
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
    return done


def msrun(script: Path | str, *arguments: object, folder: Path, code: int = 0, ranks: int = 2) -> str:
    """Run a script with so many ranks; the logs are in folder / "ranks", and what is returned."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={ranks}"]
    launcher += [f"--local_worker_num={ranks}"]
    launcher += [f"--master_port={port}", f"--log_dir={folder / 'ranks'}", "--join=True", "--cluster_time_out=120"]
    done = subprocess.run(
        [*launcher, str(script), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "GLOG_v": "3", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    logs = "\n".join(path.read_text() for path in sorted((folder / "ranks").glob("worker_*.log")))
    assert (done.returncode == 0) == (code == 0), f"{done.returncode}\n{done.stdout}{done.stderr}{logs[-5000:]}"
    return done.stdout + done.stderr + logs


def check_one_line_error(done: subprocess.CompletedProcess, *words: str) -> None:
    """The run ended with one line that says `error:` and the words, and without a traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1, done.stderr
    for word in words:
        assert word in errors[0], f"{word!r} is not in {errors[0]!r}"


@pytest.fixture(autouse=True)
def keep_signals():
    """Scripts that run inside the test process set SIGTERM."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
