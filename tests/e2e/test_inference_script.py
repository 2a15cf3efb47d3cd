"""scripts/inference_tae.py as users run it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, require_one_line_error, run

from mg.io.image import read_image, write_image
from mg.io.video import probe

SCRIPT = "scripts/inference_tae.py"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    write_image(path, np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))
    return path


def test_without_arguments_it_reconstructs_the_sample_clip(tmp_path):
    done = run(SCRIPT, cwd=tmp_path)
    output = tmp_path / "samples" / "recons"
    report = json.loads((output / "metrics.json").read_text())
    assert report["mean"]["psnr"] > 24
    assert report["mean"]["ssim"] > 0.8
    source, recon = probe(output / "sample_clip.mp4"), probe(output / "sample_clip_recon.mp4")
    assert source == recon
    assert (source.width, source.height, source.frames) == (256, 256, 64)
    assert probe(output / "sample_clip_side_by_side.mp4").width == 768
    assert read_image(output / "sample_clip_sheet.png").std() > 30
    assert "PSNR" in done.stderr


def test_real_clips_and_images(shared, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in ("clips/pigs_314x273.gif", "clips/rot90_568x320.mov", "images/chelsea.png"):
        (source / name.split("/")[1]).symlink_to(shared / "data" / name)
    run(SCRIPT, "--input", source, "--num_frames", "9", "--image_size", "64", "96", cwd=tmp_path)
    output = tmp_path / "samples" / "recons"
    pigs = probe(output / "pigs_314x273_recon.mp4")
    assert (pigs.width, pigs.height, pigs.frames, pigs.fps) == (96, 64, 9, 10)
    rot90 = probe(output / "rot90_568x320_recon.mp4")
    assert (rot90.frames, rot90.fps) == (3, 30)
    report = json.loads((output / "metrics.json").read_text())
    chelsea = next(row for row in report["clips"] if "chelsea" in row["file"])
    assert chelsea["psnr"] > 22


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--input", "none.mp4"], "no file or folder 'none.mp4'"),
        (["--input", "empty.mp4"], "is empty"),
        (["--input", "text.mp4"], "cannot be read as a video"),
        (["--input", "folder"], "holds no media"),
        (["--input", "picture.png", "--ckpt_path", "none.ckpt"], "no file 'none.ckpt'"),
        (["--input", "picture.png", "--ckpt_path", "text.ckpt"], "is damaged or not a .ckpt file"),
        (["--input", "picture.png", "--ckpt_path", "cut.safetensors"], "is damaged or not a .safetensors file"),
        (["--input", "picture.png", "--dtype", "bf16"], "bf16 does not run on a CPU"),
        (["--input", "picture.png", "--image_size", "8"], "image_size"),
        (["--input", "picture.png", "--image_size", "64", "64", "64"], "3 values"),
        (["--input", "picture.png", "--num_frames", "0"], "num_frames=0"),
        (["--input", "picture.png", "--output_path", "picture.png/out"], "cannot write to folder"),
        (["--input", "picture.png", "--device_target", "Ascend"], "device_target=Ascend"),
    ],
)
def test_bad_input_gives_one_line_and_code_2(tmp_path, picture, arguments, words):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    for name in ("text.mp4", "text.ckpt"):
        (tmp_path / name).write_text("only text")
    weights = (ROOT / "mg/models/tae/default.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(weights[: len(weights) // 2])
    done = run(SCRIPT, *arguments, cwd=tmp_path, code=2)
    require_one_line_error(done, words)
    assert not [path for path in tmp_path.rglob("*") if "recon." in path.name or ".part" in path.name]
    assert not list(tmp_path.rglob("metrics.json"))


def test_an_unknown_flag_is_refused(tmp_path):
    done = run(SCRIPT, "--imagesize", "64", cwd=tmp_path, code=2)
    assert "--imagesize" in done.stderr


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_unfinished_file(tmp_path, kind):
    environment = {**os.environ, "GLOG_v": "3"}
    process = subprocess.Popen(
        [sys.executable, ROOT / SCRIPT], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment
    )
    output = tmp_path / "samples" / "recons"
    deadline = time.monotonic() + 60
    while not list(output.glob(".*part*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(output.iterdir()) == []
