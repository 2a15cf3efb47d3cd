"""Commands that are killed at any moment: what has its final name is whole, and a rerun equals one that was not."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from media import save_nano, write_clip
from safetensors import safe_open

from mg.io.image import read_image
from mg.io.latents import read_latents
from mg.io.video import probe, read_frames
from mg.models.weights import TensorFile

pytestmark = pytest.mark.slow
# How often each command is killed, and what the moments are drawn from besides its name: KILLS=100 KILL_SEED=1 pytest
MOMENTS, SEED = int(os.environ.get("KILLS", 20)), os.environ.get("KILL_SEED", "")
PATIENCE_S = 1800  # for a command that goes on; long, for others may be at work on this computer
CHANGING = {"seconds", "waited", "run", "created"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Weights, and folders of clips: originals, and the same with noise."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    save_nano(folder / "nano.safetensors")
    for number in range(4):
        frames = rng.integers(0, 256, (9, 32, 32, 3), np.uint8)
        for name, shift in (("real", 0), ("made", 3)):
            (folder / name).mkdir(exist_ok=True)
            write_clip(folder / name / f"clip{number}.mp4", np.roll(frames, shift, 1))
    return folder


def commands(files: Path) -> dict[str, list]:
    scripts = ROOT / "scripts"
    model = ["--ckpt_path", files / "nano.safetensors"]
    smoke = ["--config", ROOT / "configs/tae/train/smoke.yaml", "--model_config", ROOT / "configs/tae/smoke.yaml"]
    short = ["--max_steps", 6, "--warmup_steps", 1, "--checkpoint_interval", 2, "--validation_interval", 1000]
    return {
        "reconstruct": [scripts / "reconstruct.py", "--video_folder", files / "real", *model, "--resume"],
        "encode": [scripts / "encode.py", "--video_folder", files / "real", *model],
        "decode": [scripts / "decode.py", "--input", files / "latents", *model],
        "compare": [
            *(scripts / "compare.py", "--real_video_dir", files / "real"),
            *("--generated_video_dir", files / "made", "--resume"),
        ],
        "train": [
            *(scripts / "train_tae.py", "--video_folder", files / "real", *smoke, *short),
            *("--mixed_strategy", "video_only", "--sample_n_frames", 3),
        ],
        "export": [ROOT / "tools/export/mindir.py", *model, "--frames", 2, "--size", 32, 32],
    }


def start(command: list, output: Path) -> subprocess.Popen:
    words = [*map(str, command), "--output_path", str(output)]
    if command[0].name == "train_tae.py" and list(output.glob("checkpoints/step_*.safetensors")):
        words.append("--resume")
    log = open(output.with_suffix(".log"), "a")  # noqa: SIM115, the process has it
    environment = {**os.environ, "GLOG_v": "3"}
    return subprocess.Popen([sys.executable, *words], stdout=log, stderr=log, env=environment, start_new_session=True)


def check_whole(folder: Path) -> None:
    """Every file that is not hidden can be read to its end."""
    for path in folder.rglob("*"):
        if path.name.startswith(".") or ".scores" in path.parts or not path.is_file():
            continue
        if path.suffix == ".mp4":
            assert probe(path).frames == 9, path
        elif path.suffix == ".png":
            read_image(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".safetensors":
            read_latents(path) if "checkpoints" not in path.parts and path.stem.startswith("clip") else TensorFile(path)


def without_clock(value):
    if isinstance(value, dict):
        return {key: without_clock(one) for key, one in value.items() if key not in CHANGING}
    return [without_clock(one) for one in value] if isinstance(value, list) else value


def values(path: Path) -> object:
    """What a file holds, but for what a clock says; None of what is for people: curves, logs, graphs."""
    if path.suffix == ".mp4":
        return np.stack(list(read_frames(path)))
    if path.suffix == ".png" and "curves" not in path.name:
        return read_image(path)
    if path.suffix == ".safetensors":
        with safe_open(path, "numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if path.suffix == ".json" and path.name != "export.json":
        return without_clock(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [without_clock(json.loads(line)) for line in path.read_text().splitlines()]
    return None


def check_same(found: object, expected: object, where: str) -> None:
    """Equal, up to what the number of threads that MindSpore chooses changes: last bits, so now and then a level."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for key, value in expected.items():
            check_same(found[key], value, f"{where} {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for one, other in zip(found, expected):
            check_same(one, other, where)
    elif isinstance(expected, np.ndarray):
        off = np.abs(found.astype(np.float64) - expected)
        assert off.mean() <= (0.1 if expected.dtype == np.uint8 else 1e-5), where
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3), where
    else:
        assert found == expected, where


def content(folder: Path) -> dict[str, object]:
    """All files by their names."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "train.log"]
    return {path.relative_to(folder).as_posix(): values(path) for path in paths}


@pytest.mark.parametrize("name", ["reconstruct", "encode", "decode", "compare", "train", "export"])
def test_a_command_that_is_killed_at_any_moment(files, tmp_path, name):
    if name == "decode" and not (files / "latents").exists():
        assert start(commands(files)["encode"], files / "latents").wait(PATIENCE_S) == 0
    command = commands(files)[name]
    before = time.monotonic()
    assert start(command, tmp_path / "whole").wait(PATIENCE_S) == 0, (tmp_path / "whole.log").read_text()
    seconds, rng = time.monotonic() - before, random.Random(name + SEED)
    output, killed = tmp_path / "killed", 0
    while killed < MOMENTS:
        before, process = time.monotonic(), start(command, output)
        try:  # mostly late: the first seconds are imports
            process.wait(seconds * rng.uniform(0.3, 1.0))
            seconds = time.monotonic() - before  # it is faster now
            shutil.rmtree(output)  # begin anew
            continue
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            killed += 1
        process.wait()
        check_whole(output)
    code = start(command, output).wait(PATIENCE_S)
    log = output.with_suffix(".log").read_text()
    assert code == 0, log[-3000:]
    assert "Traceback" not in log
    hidden = [path for path in output.rglob("*") if path.name.startswith(".")]
    assert hidden == []
    check_same(content(output), content(tmp_path / "whole"), name)
