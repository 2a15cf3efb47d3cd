"""One clip on one, two and three ranks: the same files, whoever computed what; what is left when one is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, run
from media import moving_frames, save_nano, write_clip

from mg.files import sha256

LAUNCHER = "scripts/launch/ranks.py"
TILES = ("--parallel", "tiles", "--spatial_tile", "32", "--spatial_overlap", "8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of 49 frames, three tiles wide and three high, and nano weights."""
    folder = tmp_path_factory.mktemp("ranks")
    save_nano(folder / "nano.safetensors")
    write_clip(folder / "clip.mp4", moving_frames(49, 60, 80))
    return folder


def results(folder):
    """SHA-256 of files with frames and latents, and what metrics.json says but for the run."""
    files = {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in folder.rglob("*")
        if file.suffix in (".png", ".safetensors", ".csv")
    }
    report = json.loads((folder / "rec" / "metrics.json").read_text())
    return files, report.pop("run")["ranks"], report


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_ranks(folder):
    found = []
    for ranks in (1, 2, 3):
        out = folder / str(ranks)
        launched = [LAUNCHER, ranks] if ranks > 1 else []

        def command(name, source, target, *flags, launched=launched, out=out):
            flags = (
                "--ckpt_path",
                folder / "nano.safetensors",
                "--input",
                source,
                "--output_path",
                out / target,
                *flags,
            )
            script = f"scripts/{name}.py"
            run(*launched, ROOT / script if launched else script, *flags, *TILES, cwd=folder)

        command("reconstruct", folder / "clip.mp4", "rec", "--save_frames")
        command("encode", folder / "clip.mp4", "latents")
        command("decode", out / "latents", "decoded")
        assert (out / "decoded" / "clip.mp4").is_file()
        files, told, report = results(out)
        assert told == ranks
        found.append((files, report))
    assert len(found[0][0]) > 2 * 49
    assert found[1] == found[0] and found[2] == found[0]


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_job(folder):
    out = folder / "killed"
    command = [sys.executable, ROOT / LAUNCHER, "2", ROOT / "scripts/reconstruct.py", "--input", folder / "clip.mp4"]
    command += ["--ckpt_path", folder / "nano.safetensors", "--output_path", out, "--save_frames", *TILES]
    job = subprocess.Popen(list(map(str, command)), cwd=folder, stderr=subprocess.PIPE, text=True)
    log = out / "ranks" / "worker_1.log"
    deadline = time.monotonic() + 300
    while not (log.exists() and "compiling the decoder" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(worker(job.pid, "1"), signal.SIGKILL)
    _, shown = job.communicate(timeout=120)
    assert job.returncode == 1
    assert f"error: a rank was ended by SIGKILL; its log is '{log}'" in shown
    left = [file for file in out.rglob("*") if file.is_file() and "ranks" not in file.parts]
    assert all(any(part.startswith(".") for part in file.relative_to(out).parts) for file in left), left


def worker(launcher, rank):
    """The process of a rank that a launcher has started."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"PPid:\t{launcher}\n" in (process / "status").read_text():
                told = (process / "environ").read_bytes().split(b"\0")
                if f"RANK_ID={rank}".encode() in told and b"MS_ROLE=MS_WORKER" in told:
                    return int(process.name)
        except OSError:  # it has ended meanwhile
            continue
    raise AssertionError(f"rank {rank} was not found")
