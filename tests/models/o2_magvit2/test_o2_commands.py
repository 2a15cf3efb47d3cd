"""The commands that users of O2-MAGVIT2 know, and the recipes of both stages: what they become."""

from __future__ import annotations

import os
import shlex
import subprocess

import numpy as np
import pytest
from conftest import ROOT

from mg.commands import reconstruct
from mg.config import read_recipe
from mg.inference import flags
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.decoder import Decoder
from mg.models.o2_magvit2.encoder import Encoder
from mg.training import command
from mg.training.recipe import Recipe

RECIPES = sorted((ROOT / "configs" / "o2_magvit2" / "train").glob("*.yaml"))
PRINT = '#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done\n'


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a shell script with a `python` that prints its words, one a line; these, or the one line of an error."""
    python = tmp_path / "python"
    python.write_text(PRINT)
    python.chmod(0o755)
    for name in ("RECIPE", "RUN_FOLDER", "CARDS", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def run(line, code=0):
        done = subprocess.run(shlex.split(line), cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout.splitlines() if code == 0 else done.stderr

    return run


def test_inference_becomes_reconstruct(run):
    line = (
        "scripts/run_inference.sh --modal video --ckpt-path my.safetensors -i 'my clip.mp4' -o out --target-pixels 400"
    )
    script, *words = run(f"{line} --max-num-frames 12 --extract-frame-interval 3 --metric psnr")
    assert script == "scripts/reconstruct.py"
    args = reconstruct.parse_args(words)
    assert (args.ckpt_path, args.input, args.output_path) == ("my.safetensors", "my clip.mp4", "out")
    sampling = flags.given_sampling(args)
    assert (sampling.resolution, sampling.num_frames, sampling.stride) == (400, 12, 3)
    assert sampling.image_size is None and args.metric == ["psnr"]
    _, *words = run("scripts/run_inference.sh")
    sampling = flags.given_sampling(reconstruct.parse_args(words))
    assert (sampling.resolution, sampling.num_frames, sampling.stride) == (384, None, 1)


@pytest.mark.parametrize(
    "words, message",
    [
        ("--modal text", "neither image nor video"),
        ("--target-pixels", "needs a value"),
        ("--config-path a.yaml", "the weights know their sizes"),
    ],
)
def test_wrong_words_of_inference_are_one_line(run, words, message):
    error = run(f"scripts/run_inference.sh {words}", code=2)
    assert message in error and error.startswith("error:") and error.count("\n") == 1


@pytest.mark.parametrize("stage, folder", [("2d", "stage1_images"), ("3d", "stage2_videos")])
def test_training_becomes_ranks_of_train(run, stage, folder, monkeypatch):
    data = {"2d": "--image_folder images", "3d": "--video_folder clips"}[stage]
    words = run(f"scripts/run_train_{stage}.sh 1 10.0.0.1:8200 4 32 {data} --max_steps 7000")
    launch = "scripts/launch/ranks.py --hosts 4 --host 1 --address 10.0.0.1 --port 8200 8 scripts/train.py"
    assert words[:11] == launch.split()  # 8 cards on each of 4 hosts
    monkeypatch.chdir(ROOT)
    recipe, args = command.parse("", words[11:])
    assert args.output_path == f"runs/o2_magvit2/{folder}"
    assert (recipe.training.model, recipe.training.max_steps) == ("o2_magvit2", 7000)
    assert recipe.training.device_target == "Ascend"
    assert recipe.data.image_size == (256, 256) and recipe.data.lengths == ((1,) if stage == "2d" else (17,))
    words = run(f"scripts/run_train_{stage}.sh 0 127.0.0.1 1 1")
    launch = "scripts/launch/ranks.py --hosts 1 --host 0 --address 127.0.0.1 --port 8118 1"
    assert words[:10] == launch.split()


@pytest.mark.parametrize("stage", ["2d", "3d"])
@pytest.mark.parametrize(
    "words, message",
    [("", "give NODE_RANK"), ("0 a 2 9", "9 cards are not as many"), ("0 a 0 8", "0 nodes"), ("x a 1 8", "x is no")],
)
def test_wrong_words_of_training_are_one_line(run, stage, words, message):
    error = run(f"scripts/run_train_{stage}.sh {words}", code=2)
    assert message in error and error.startswith("error:") and error.count("\n") == 1


def config_of(path):
    return O2Magvit2Config.from_mapping(read_recipe(ROOT / path))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_whole(path):
    chosen = Recipe.of(read_recipe(path), {"video_folder": "clips"})
    training, data, config = chosen.training, chosen.data, config_of(chosen.training.model_config)
    assert training.model == "o2_magvit2" and training.betas == (0, 0.99)
    assert config.image_model == (data.mixed_strategy == "image_only") == path.stem.endswith("images")
    assert all(side % config.space_compression == 0 for side in data.image_size)
    frames = max(data.lengths)
    assert frames == 1 if config.image_model else (frames - 1) % config.time_compression == 0 and frames > 4
    weights = {name: chosen.objective.weights[name] for name in ("mean_squared_error", "commitment")}
    assert weights == {"mean_squared_error": 5, "commitment": 0.25}
    entropies = chosen.objective.weights["sample_entropy"], chosen.objective.weights["batch_entropy"]
    assert entropies[0] == entropies[1]
    if chosen.adversarial.disc_weight:
        kind = "stylegan2d" if config.image_model else "stylegan3d"
        assert (chosen.adversarial.disc_kind, chosen.adversarial.r1_interval) == (kind, 20)


def test_the_stages_of_each_size_are_there_and_belong_together():
    assert {path.stem for path in RECIPES} == {
        *("stage1_images", "stage2_videos", "smoke_images", "smoke_videos", "tiny_images", "tiny_videos")
    }
    for image, video in (("image", "o2_magvit2"), ("tiny_image", "tiny"), ("smoke_image", "smoke")):
        image, video = (config_of(f"configs/o2_magvit2/{name}.yaml") for name in (image, video))
        assert image.image_model and video.time_compression == 4
        assert video.temporal_downsample[-2:] == (True, True)  # what inflation gives if nothing is said
        for field in ("filters", "channel_multipliers", "num_res_blocks", "token_size", "norm_groups"):
            assert getattr(image, field) == getattr(video, field)


@pytest.mark.parametrize("name, millions", [("tiny", 6.2), ("tiny_image", 1.8)])
def test_the_small_model_is_small(name, millions):
    config = config_of(f"configs/o2_magvit2/{name}.yaml")
    count = sum(int(np.prod(p.shape)) for part in (Encoder, Decoder) for p in part(config).get_parameters())
    assert round(count / 1e6, 1) == millions and 12 <= config.token_size <= 14
