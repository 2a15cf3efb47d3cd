"""The commands that users of Open-Sora's VAE know: how they are read, and what a run of them leaves."""

from __future__ import annotations

import json
import runpy
import shlex
from fractions import Fraction

import numpy as np
import pytest
from calls import call_script
from conftest import ROOT, check_one_line_error
from media import moving_frames, write_clip

from mg.commands import compare
from mg.errors import InputError
from mg.io.video import probe
from mg.models.opensora_vae.model import OpenSoraVAE

SIZES = {
    **{"spatial_channels": (8, 16), "spatial_blocks": 1, "spatial_groups": 2, "temporal_channels": 8},
    **{"temporal_multiples": (1, 1), "temporal_blocks": 1, "temporal_groups": 2, "halved_levels": (0,)},
}
LAUNCHER = "msrun --worker_num=8 --local_worker_num=8 "
TRAIN = LAUNCHER + "scripts/train_vae.py configs/opensora_vae/train/{}.yaml --data-path {}"
INFER = "python scripts/inference_vae.py configs/opensora_vae/inference/video.yaml "
INFER += "--ckpt-path W --data-path {} --save-dir D"
COMPARE = (
    "--batch_size 2 --real_video_dir A --generated_video_dir B --device CPU --sample_fps 24 --crop_size 256 "
    "--resolution 256 --num_frames 17 --sample_rate 1 --metric ssim psnr lpips flolpips"
)


def parser_of(name):
    return runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))["parse_args"]


def words_after(command, script):
    words = shlex.split(command)
    return words[words.index(f"scripts/{script}.py") + 1 :]


@pytest.fixture
def absolute(tmp_path):
    """A CSV of absolute names under the column `path`."""
    table = tmp_path / "list.csv"
    table.write_text(f"path\n{tmp_path}/clips/a.mp4\n")
    return table


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_training_is_read(stage, absolute, monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe, args = parser_of("train_vae")(words_after(TRAIN.format(stage, absolute), "train_vae"))
    assert args.output_path == f"runs/opensora_vae/{stage}"
    assert (recipe.training.model, recipe.data.csv_path) == ("opensora_vae", str(absolute))
    assert recipe.data.video_folder == str(absolute.parent / "clips")
    assert ("latent_distance" in recipe.objective.weights) == (stage != "stage3")
    more = ["--ckpt-path", "W", "--output-path=out", "--max-steps", "3"]
    recipe, args = parser_of("train_vae")([*words_after(TRAIN.format(stage, absolute), "train_vae"), *more])
    assert (args.output_path, recipe.training.ckpt_path, recipe.training.max_steps) == ("out", "W", 3)


def test_reconstruction_is_read(absolute, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = words_after(INFER.format(absolute), "inference_vae")
    args = parser_of("inference_vae")(words)
    assert (args.ckpt_path, args.csv_path, args.output_path) == ("W", str(absolute), "D")
    assert args.save_folders and args.spatial and args.save_videos == "none"
    assert (args.num_frames, args.image_size, args.output_fps) == (17, [256], Fraction(24))
    args = parser_of("inference_vae")([*words, "--keep_fps", "--num_frames", "33"])
    assert (args.num_frames, args.output_fps) == (33, None)


def test_comparison_is_read():
    args = compare.parse_args(shlex.split(COMPARE))
    assert args.metric == ["ssim", "psnr", "lpips", "flolpips"]
    assert (args.batch_size, args.resolution, args.crop_size, args.num_frames) == (2, 256, 256, 17)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path\nclips/a.mp4\n", "which is relative; give --video_folder"),
        ("file\n/clips/a.mp4\n", "has no column 'video' but file"),
        ("path\n/clips/a.txt\n", "names no file with a suffix"),
        ("", "is empty"),
    ],
)
def test_a_wrong_csv_is_one_line(tmp_path, text, words):
    (tmp_path / "list.csv").write_text(text)
    for script in ("train_vae", "inference_vae"):
        with pytest.raises(InputError, match=words) as error:
            parser_of(script)(["--data-path", str(tmp_path / "list.csv"), "--output_path", "out"])
        assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with weights, two clips of other rates and an inference recipe."""
    home = tmp_path_factory.mktemp("home")
    OpenSoraVAE(SIZES).save(home / "model.safetensors")
    for name, rate in (("a", Fraction(12)), ("b", Fraction(24))):
        write_clip(home / "clips" / f"{name}.mp4", moving_frames(6, 16, 20), rate)
    (home / "video.yaml").write_text("image_size: 16\nnum_frames: 5\nspatial: true\n")
    return home


@pytest.mark.parametrize("names", ["absolute", pytest.param("relative", marks=pytest.mark.slow)])
def test_three_folders_are_written_and_compared(home, names):
    start = f"{home}/clips/" if names == "absolute" else ""
    (home / f"{names}.csv").write_text(f"path\n{start}a.mp4\n{start}b.mp4\n{start}missing.mp4\n")
    folder = [] if names == "absolute" else ["--video_folder", "clips"]
    files = ("--ckpt-path", "model.safetensors", "--data-path", f"{names}.csv", "--save-dir", names, *folder)
    done = call_script("scripts/inference_vae.py", "video.yaml", *files, "--mode", "pynative", cwd=home, code=2)
    check_one_line_error(done, "missing.mp4")
    report = json.loads((home / names / "metrics.json").read_text())
    assert len(report["clips"]) == 2 and len(report["failed"]) == 1
    assert all(np.isfinite(row["spatial_psnr"]) for row in report["clips"])
    for ending in ("ori", "rec", "spatial"):
        found = sorted((home / f"{names}_{ending}").glob("*.mp4"))
        assert [path.name for path in found] == ["a.mp4", "b.mp4"]
        assert {probe(path).fps for path in found} == {Fraction(24)}
    folders = ("--real_video_dir", f"{names}_ori", "--generated_video_dir", f"{names}_rec", "--batch_size", 2)
    call_script("scripts/compare.py", *folders, "--metric", "ssim", "psnr", "--output_path", f"{names}_out", cwd=home)
    assert json.loads((home / f"{names}_out" / "metrics.json").read_text())["mean"]["clips"] == 2


@pytest.mark.slow
def test_sources_keep_their_rates_where_that_is_asked_for(home):
    (home / "one.csv").write_text(f"video\n{home}/clips/a.mp4\n")
    files = ("--ckpt-path", "model.safetensors", "--data-path", "one.csv", "--save-dir", "kept", "--keep_fps")
    call_script("scripts/inference_vae.py", "video.yaml", *files, "--mode", "pynative", cwd=home)
    (found,) = (home / "kept_rec").glob("a.mp4")
    assert probe(found).fps == Fraction(12)
