"""The smoke recipe on real clips: it learns, and its weights do what its log says."""

import json

import numpy as np
import pytest
from conftest import ROOT, run

from mg.config import read_recipe
from mg.io.image import read_image
from mg.io.video import probe
from mg.models.weights import TensorFile, named_parameters
from mg.training.build import Parts
from mg.training.recipe import Recipe

RECIPE_FILE = ROOT / "configs" / "tae" / "train" / "smoke.yaml"
# The mean loss of the first ten steps over that of the last ten.
FALLS_BY = 1.6


@pytest.mark.slow
def test_the_smoke_recipe_learns_and_reproduces_its_figures(shared, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("vidtok_256x256.mp4", "stream_480x360.mp4", "friday_640x480.mp4", "rot90_568x320.mov"):
        (clips / name).symlink_to(shared / "data" / "clips" / name)
    folder = tmp_path / "run"
    flags = ["--config", RECIPE_FILE, "--output_path", folder, "--video_folder", shared / "data" / "clips"]
    flags += ["--image_folder", shared / "data" / "train_images", "--validation_video_folder", clips]
    run("scripts/train_tae.py", *flags, cwd=ROOT)

    log = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [record for record in log if "total" in record]
    assert [record["step"] for record in steps] == list(range(120))
    assert all(record["kept"] == 1 for record in steps)
    assert {record["frames"] for record in steps} == {1, 9}
    for record in steps:
        assert record["total"] == pytest.approx(record["reconstruction"] + 1e-6 * record["kl"], rel=1e-5)
    losses = [record["total"] for record in steps]
    assert np.mean(losses[:10]) > FALLS_BY * np.mean(losses[-10:])
    validations = [record for record in log if "validation_psnr" in record]
    assert validations[-1]["validation_psnr"] > validations[0]["validation_psnr"] > 10

    start = Parts(Recipe.of(read_recipe(RECIPE_FILE), {"video_folder": str(clips)})).model
    trained = TensorFile(folder / "last.safetensors")
    changed = [n for n, p in named_parameters(start).items() if np.abs(trained[n] - p.asnumpy()).max() > 1e-4]
    assert len(changed) > 0.9 * len(trained)

    command = ["--input", clips, "--ckpt_path", folder / "last.safetensors", "--num_frames", "9", "--image_size", "32"]
    run("scripts/inference_tae.py", *command, cwd=tmp_path)
    mean = json.loads((tmp_path / "samples" / "recons" / "metrics.json").read_text())["mean"]
    assert mean["psnr"] == pytest.approx(validations[-1]["validation_psnr"], abs=1e-4)
    assert mean["ssim"] == pytest.approx(validations[-1]["validation_ssim"], abs=1e-5)

    assert read_image(folder / "curves.png").std() > 5
    assert len(list((folder / "checkpoints").iterdir())) == 2
    shown = sorted((folder / "validation" / "step_00000120").iterdir())
    assert len(shown) == 8
    assert probe(next(path for path in shown if path.suffix == ".mp4")).frames in (3, 9)


@pytest.mark.slow
def test_the_smoke_recipe_runs_in_fp16(shared, tmp_path):
    flags = ["--config", RECIPE_FILE, "--output_path", tmp_path / "run", "--video_folder", shared / "data" / "clips"]
    run("scripts/train_tae.py", *flags, "--dtype", "fp16", "--max_steps", "30", cwd=ROOT)
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(steps) == 30
    assert all(np.isfinite(record["total"]) for record in steps)
    assert steps[-1]["kept"] == 1
    assert np.mean([record["total"] for record in steps[-5:]]) < np.mean([record["total"] for record in steps[:5]])
