"""scripts/inference_tae.py as users run it."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from calls import call_script
from conftest import NANO, ROOT, check_one_line_error, run
from safetensors.numpy import save_file

from mg.inference.clips import SAMPLE_CLIP
from mg.io.image import read_image, write_image
from mg.io.video import probe, write_video
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.weights import named_parameters

SCRIPT = "scripts/inference_tae.py"


@pytest.mark.parametrize(
    "arguments, side, frames, psnr, similarity",
    [
        (("--num_frames", "9", "--image_size", "64", "--mode", "pynative"), 64, 9, 20, 0.6),
        pytest.param((), 256, 64, 24, 0.8, marks=pytest.mark.slow),
    ],
)
def test_without_an_input_it_reconstructs_the_sample_clip(tmp_path, arguments, side, frames, psnr, similarity):
    done = run(SCRIPT, *arguments, cwd=tmp_path)
    output = tmp_path / "samples" / "recons"
    report = json.loads((output / "metrics.json").read_text())
    assert report["mean"]["psnr"] > psnr
    assert report["mean"]["ssim"] > similarity
    source, recon = probe(SAMPLE_CLIP), probe(output / "sample_clip_recon.mp4")
    assert source.fps == recon.fps
    assert (source.width, source.height, source.frames) == (256, 256, 64)
    assert (recon.width, recon.height, recon.frames) == (side, side, frames)
    assert probe(output / "sample_clip_side_by_side.mp4").width == 3 * side
    assert read_image(output / "sample_clip_sheet.png").std() > 30
    assert "PSNR" in done.stderr


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def bad_inputs(tmp_path_factory):
    """A folder of one picture, and of one file of each kind that must be refused."""
    folder = tmp_path_factory.mktemp("bad")
    write_image(folder / "picture.png", np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))
    (folder / "empty.mp4").touch()
    (folder / "folder").mkdir()
    for name in ("text.mp4", "text.png", "text.ckpt", "text.safetensors"):
        (folder / name).write_text("only text")
    with write_video(folder / "cut.mp4", Fraction(24)) as file:
        for frame in np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8):
            file.write(frame)
    for path in (folder / "cut.mp4", folder / "cut.safetensors"):
        content = (TemporalAutoencoder.default_weights if path.suffix == ".safetensors" else path).read_bytes()
        path.write_bytes(content[: len(content) // 2])
    tensors = {name: np.zeros(p.shape, np.float32) for name, p in named_parameters(TemporalAutoencoder(NANO)).items()}
    name, *_ = tensors
    config = {"mg": json.dumps({"family": "tae", "config": NANO})}
    save_file({**tensors, name: np.zeros((1, 2), np.float32)}, folder / "shape.safetensors", config)
    save_file({n: t for n, t in tensors.items() if n != name}, folder / "lacking.safetensors", config)
    config = {"mg": json.dumps({"family": "tae", "config": {**NANO, "chanels": 8}})}
    save_file(tensors, folder / "key.safetensors", config)
    return folder


BAD = [
    (["--input", "none.mp4"], "no file or folder 'none.mp4'"),
    (["--input", "empty.mp4"], "is empty"),
    (["--input", "text.mp4"], "cannot be read as a video"),
    (["--input", "cut.mp4"], "is cut off"),
    (["--input", "text.png"], "cannot be read as an image"),
    (["--input", "folder"], "holds no media"),
    (["--ckpt_path", "none.ckpt"], "no file 'none.ckpt'"),
    (["--ckpt_path", "text.ckpt"], "is damaged or not a .ckpt file"),
    (["--ckpt_path", "text.safetensors"], "is damaged or not a .safetensors file"),
    (["--ckpt_path", "cut.safetensors"], "is damaged or not a .safetensors file"),
    (["--ckpt_path", "shape.safetensors"], "1 of another shape (encoder.conv_in.spatial.weight (1, 2)"),
    (["--ckpt_path", "lacking.safetensors"], "1 missing (encoder.conv_in.spatial.weight)"),
    (["--ckpt_path", "key.safetensors"], "unknown key chanels; did you mean z_channels"),
    (["--dtype", "bf16"], "bf16 does not run on a CPU"),
    (["--image_size", "8"], "image_size"),
    (["--image_size", "64", "64", "64"], "3 values"),
    (["--num_frames", "0"], "num_frames=0"),
    (["--use_tile", "--decode_overlap", "32"], "decode_overlap=32 must be less than decode_tile=32"),
    (["--use_tile", "--spatial_tile", "100"], "spatial_tile=100 must be a positive multiple of 8"),
    (["--num_frames", "many"], "invalid int value: 'many'; see --help"),
    (["--imagesize", "64"], "unrecognized arguments: --imagesize 64"),
    (["--input", ""], "empty name"),
    (["--output_path", "picture.png/out"], "cannot write to folder"),
    (["--device_target", "Ascend"], "device_target=Ascend"),
]


@pytest.mark.parametrize("arguments, words", BAD)
def test_bad_input_gives_one_line_and_code_2(bad_inputs, arguments, words):
    """In this process, as starting another one for each takes seconds; the next test starts one."""
    given = arguments if "--input" in arguments else ["--input", "picture.png", *arguments]
    before = {path for path in bad_inputs.rglob("*") if path.is_file()}
    check_one_line_error(call_script(SCRIPT, *given, cwd=bad_inputs, code=2), words)
    assert {path for path in bad_inputs.rglob("*") if path.is_file()} == before


def test_bad_input_in_a_process_of_its_own(bad_inputs, tmp_path):
    done = run(SCRIPT, "--input", bad_inputs / "cut.mp4", cwd=tmp_path, code=2)
    check_one_line_error(done, "is cut off")
    assert not [path for path in (tmp_path / "samples").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """One that a nano model is at for seconds after the first frames are written."""
    path = tmp_path_factory.mktemp("long") / "clip.mp4"
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    with write_video(path, Fraction(24)) as file:
        for index in range(600):
            file.write(frames[index % len(frames)])
    return path


@pytest.mark.parametrize("kind", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_leaves_no_unfinished_file(weights, long_clip, tmp_path, kind):
    process = subprocess.Popen(
        [sys.executable, ROOT / SCRIPT, "--input", long_clip, "--ckpt_path", weights],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GLOG_v": "3"},
        # Whatever a shell starts in the background ignores SIGINT, and so would the script.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    output = tmp_path / "samples" / "recons"
    deadline = time.monotonic() + 120
    while not list(output.glob(".*part*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(output.iterdir()) == []
