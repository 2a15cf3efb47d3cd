"""Where nothing can be written: one line, code 2, and what was finished before is usable."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time

import pytest
from conftest import check_one_line_error
from test_killed import commands, files  # noqa: F401, a fixture

from mg.io.latents import read_latents

pytestmark = pytest.mark.slow
COMMANDS = ["reconstruct", "encode", "decode", "compare", "train", "export"]


def command(files, name, output):  # noqa: F811
    if name == "decode" and not (files / "latents").exists():
        assert run(commands(files)["encode"], files / "latents").returncode == 0
    return [*commands(files)[name], "--output_path", output]


def run(words, output=None, limit=None, user=None):
    def before():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if user is not None:
            os.setgid(user)
            os.setuid(user)

    words = [*map(str, words), *(() if output is None else ("--output_path", str(output)))]
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "GLOG_v": "3"},
        preexec_fn=before,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_files_that_do_not_fit(files, tmp_path, name):  # noqa: F811
    """A limit to the size of files stands for a full disk: writing fails in the same places."""
    limit = {"train": 100_000, "export": 20_000}.get(name, 700)
    done = run(command(files, name, tmp_path / "out"), limit=limit)
    assert done.returncode == 2, done.stderr[-3000:]
    check_one_line_error(done, "cannot write")
    assert not [
        path for path in (tmp_path / "out").rglob(".*") if path.name != ".scores" and ".scores" not in path.parts
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_cannot_be_written_to(files, tmp_path, name):  # noqa: F811
    (tmp_path / "file").touch()
    done = run(command(files, name, tmp_path / "file" / "out"))
    assert done.returncode == 2, done.stderr[-3000:]
    check_one_line_error(done, "file")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_is_removed_in_between(files, tmp_path, name):  # noqa: F811
    output = tmp_path / "out"
    words = [*map(str, command(files, name, output))]
    if name == "train":
        words += ["--max_steps", "2000"]
    process = subprocess.Popen(
        [sys.executable, *words], stderr=subprocess.PIPE, text=True, env={**os.environ, "GLOG_v": "3"}
    )
    finished = {
        **{"reconstruct": "*_recon.mp4", "encode": "clip*.safetensors", "decode": "*.mp4", "train": "last.*"},
        **{"compare": ".scores/*", "export": ".*.part*"},
    }[name]
    deadline = time.monotonic() + 120
    while not list(output.glob(finished)) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    for _ in range(20):
        shutil.rmtree(output, ignore_errors=True)
    killer = threading.Timer(120, process.kill)
    killer.start()
    _, errors = process.communicate()
    killer.cancel()
    assert process.returncode == 2, errors[-3000:]
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if line.startswith("error: ")]) == 1, errors


def test_what_was_finished_before_a_disk_was_full_is_usable(files, tmp_path):  # noqa: F811
    output = tmp_path / "out"
    whole = run(command(files, "encode", output))
    assert whole.returncode == 0
    sizes = sorted(path.stat().st_size for path in output.glob("clip*.safetensors"))
    kept = output / "clip0.safetensors"
    before = kept.read_bytes()
    for path in output.glob("clip[1-3].safetensors"):
        path.unlink()
    assert run(command(files, "encode", output), limit=sizes[0] - 1).returncode == 2
    assert kept.read_bytes() == before
    read_latents(kept)
    assert run(command(files, "encode", output)).returncode == 0
    assert len(json.loads((output / "index.json").read_text())["clips"]) == 4
