"""Losses of the three stages against those of Open-Sora's program; frozen parts; where a stage says it starts from."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from calls import call_script
from conftest import ROOT, pynative
from media import moving_frames, write_clip
from mindspore import Tensor, ops

from mg.config import read_recipe, write_recipe
from mg.errors import InputError
from mg.losses.reconstruction import reconstruction
from mg.models import families
from mg.models.opensora_vae.model import OpenSoraVAE
from mg.models.opensora_vae.terms import clip_kl, image_identity, latent_distance
from mg.models.terms import Facts
from mg.models.weights import TensorFile
from mg.training.recipe import Recipe

LPIPS = 0.25  # of every frame, in the golden arrays
RECIPES = ROOT / "configs/opensora_vae/train"


@pytest.fixture(scope="module")
def golden():
    folder = ROOT.parent / "shared/golden/opensora_vae_mini"
    if not folder.is_dir():
        pytest.skip("the golden arrays of the folder 'shared' are not beside the repository")
    return np.load(folder / "losses.npz")


@pytest.fixture(scope="module")
def outputs(golden):
    """What the forward gives of the first frames of the golden video, posteriors at their means; by number and mode."""
    folder, kept = ROOT.parent / "shared/golden/opensora_vae_mini", {}
    video, model = np.load(folder / "io.npz")["video"], families.load(folder / "weights.safetensors", "fp32")

    def outputs(frames, mode="restart"):
        if (frames, mode) not in kept:
            model.tiles = model.tiles.but(time_mode=mode)
            forward, clip = model.training_forward(), Tensor(video[:, :, :frames])
            noises = [ops.zeros(shape, clip.dtype) for shape in forward.noise_shapes(clip.shape)]
            with pynative():
                kept[frames, mode] = {"clip": clip, **forward(clip, *noises)}
        return kept[frames, mode]

    return outputs


def value(tensor):
    return float(tensor.asnumpy())


def pixel_terms(clip, recon, mean, logvar):
    """Stage 3: absolute differences with LPIPS, and KL, weighted."""
    lpips = 3 * clip.shape[3] * clip.shape[4] * LPIPS
    return value(reconstruction(clip, recon)) + 0.1 * lpips, 1e-6 * value(clip_kl(mean, logvar))


@pytest.mark.parametrize(("stage", "frames"), [("s1", 17), ("s1", 1), ("s2", 17), ("s2", 1)])
def test_stages_1_and_2(golden, outputs, stage, frames):
    found, row = outputs(frames), f"{stage}_t{frames}"
    distance = value(latent_distance(found["image_latents"], found["image_latents_rec"]))
    assert distance == pytest.approx(golden[f"{row}.z_nll"][0], rel=1e-5)
    identity = value(image_identity(found["image_latents"], found["z"])) if stage == "s1" else 0.0
    assert identity == pytest.approx(golden[f"{row}.identity"][0] if row == "s1_t1" else 0.0, rel=1e-5)
    assert distance + identity == pytest.approx(golden[f"{row}.total"][0], rel=1e-5)


@pytest.mark.parametrize(("row", "mode"), [("s3_t9", "restart"), ("s3_t33", "restart"), ("s3_t33_whole", "whole")])
def test_stage_3(golden, outputs, row, mode):
    found = outputs(int(row.split("_")[1][1:]), mode)
    moments = found["mean"], found["logvar"]
    if row == "s3_t33":  # there the KL is of the last window alone, which is not to be copied
        nll, all_of_it = pixel_terms(found["clip"], found["reconstruction"], *moments)
        moments = [moment[:, :, 5:] for moment in moments]
        assert all_of_it > 2 * pixel_terms(found["clip"], found["reconstruction"], *moments)[1]
    nll, kl = pixel_terms(found["clip"], found["reconstruction"], *moments)
    assert nll == pytest.approx(golden[f"{row}.nll"][0], rel=1e-5)
    assert kl == pytest.approx(golden[f"{row}.kl_weighted"][0], rel=1e-5)
    assert nll + kl == pytest.approx(golden[f"{row}.total"][0], rel=1e-5)


@pytest.mark.usefixtures("uncompiled")
def test_terms_of_given_arrays_and_their_gradients(golden):
    given = {name: Tensor(golden[f"g_{name}"]) for name in ("x", "x_rec", "x_z", "x_z_rec", "moments")}
    mean, logvar = ops.split(given["moments"], given["moments"].shape[1] // 2, 1)
    nll, kl = pixel_terms(given["x"], given["x_rec"], mean, ops.clamp(logvar, -30.0, 20.0))
    assert nll == pytest.approx(golden["given_real.nll"][0], rel=1e-5)
    assert kl == pytest.approx(golden["given_real.kl_weighted"][0], rel=1e-5)
    assert value(latent_distance(given["x_z"], given["x_z_rec"])) == pytest.approx(golden["given_z.total"][0], rel=1e-5)
    gradient = ops.grad(latent_distance, 1)(given["x_z"], given["x_z_rec"])
    np.testing.assert_allclose(gradient.asnumpy(), golden["given_z.grad_x_z_rec"], rtol=1e-5, atol=1e-8)
    gradient = ops.grad(image_identity, 1)(given["x_z"][:, :, :1], given["x_z_rec"][:, :, :1])
    assert np.abs(gradient.asnumpy()).max() == pytest.approx(1 / 2)
    assert not ops.grad(image_identity, 1)(given["x_z"], given["x_z_rec"]).asnumpy().any()


def test_identity_needs_as_many_channels():
    settings = {"model": "opensora_vae", "video_folder": "none", "perceptual_weight": 0.0}
    model = {"spatial_channels": (8, 16), "spatial_groups": 2, "temporal_channels": 8, "temporal_groups": 2}
    term = next(term for term in OpenSoraVAE.terms if term.name == "image_identity")
    recipe = Recipe.of({**settings, "image_identity_weight": 1.0})
    with pytest.raises(InputError, match="of 16 and of 4 channels"):
        term.build(recipe.objective, Facts(config={**model, "spatial_latent": 16, "z_channels": 4}))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_whole_and_have_the_terms_of_their_stage(path):
    recipe = Recipe.of(read_recipe(path), {"video_folder": "clips"})
    weights, stage = recipe.objective.weights, path.stem[-1]
    assert recipe.training.model == "opensora_vae"
    expected = {
        "1": {"latent_distance": 1.0, "image_identity": 1.0},
        "2": {"latent_distance": 1.0},
        "3": {"reconstruction": 1.0, "clip_kl": 1e-6},
    }
    if stage in expected:
        extra = {"stage3": {"perceptual": 0.1}, "tiny3": {"squared_error": 10.0}}.get(path.stem, {})
        assert weights == {**expected[stage], **extra}
        assert recipe.training.freeze_spatial == (stage == "1")
        assert recipe.training.weight_decay == 0.0 or path.stem.startswith("tiny")
    if stage in "12":
        assert (recipe.data.mixed_strategy, recipe.data.mixed_image_ratio) == ("mixed_video_image", 0.2)
        assert recipe.data.sample_n_frames == 17
    before = {"stage2": "stage1", "stage3": "stage2", "tiny2": "tiny1", "tiny3": "tiny2"}.get(path.stem)
    if before:
        assert recipe.training.ckpt_path == f"runs/opensora_vae/{before}/last.safetensors"


SIZES = {
    **{"spatial_channels": [8, 16], "spatial_blocks": 1, "spatial_groups": 2, "temporal_channels": 8},
    **{"temporal_multiples": [1, 1], "temporal_blocks": 1, "temporal_groups": 2, "halved_levels": [0]},
}


def test_stage_1_leaves_the_image_vae_and_stage_2_says_where_it_starts(tmp_path, caplog):
    for number in range(3):
        write_clip(tmp_path / "clips" / f"{number}.mp4", moving_frames(9, 16, 16)[number:])
    (tmp_path / "clips.csv").write_text("path\n" + "".join(f"{tmp_path}/clips/{n}.mp4\n" for n in range(3)))
    write_recipe(tmp_path / "model.yaml", SIZES)
    OpenSoraVAE(SIZES).save(tmp_path / "start.safetensors")
    small = ("--mode", "pynative", "--image_size", 16, "--sample_n_frames", 5, "--max_steps", 2, "--num_workers", 1)
    small += ("--learning_rate", "1e-3", "--checkpoint_interval", 2, "--recompute", "False")
    start = ("--ckpt-path", "start.safetensors", "--data-path", "clips.csv")
    with caplog.at_level(logging.INFO):
        call_script("scripts/train_vae.py", RECIPES / "stage1.yaml", *start, *small, cwd=tmp_path)
        call_script("scripts/train_vae.py", RECIPES / "stage2.yaml", "--data-path", "clips.csv", *small, cwd=tmp_path)
    runs = tmp_path / "runs" / "opensora_vae"
    first, trained, second = (
        dict(TensorFile(path))
        for path in (tmp_path / "start.safetensors", runs / "stage1/last.safetensors", runs / "stage2/last.safetensors")
    )
    for name, array in first.items():
        assert np.array_equal(trained[name], array) == (".spatial." in name), name
    assert not np.array_equal(second["encoder.spatial.conv_in.weight"], trained["encoder.spatial.conv_in.weight"])
    told = (runs / "stage2" / "train.log").read_text()
    assert (
        "starts from runs/opensora_vae/stage1/last.safetensors, which the training 'runs/opensora_vae/stage1'" in told
    )
    for stage, terms in (("stage1", {"latent_distance", "image_identity"}), ("stage2", {"latent_distance"})):
        records = [json.loads(line) for line in (runs / stage / "metrics.jsonl").read_text().splitlines()]
        assert all(terms <= set(record) and record["kept"] == 1 for record in records if "total" in record)
        assert "reconstruction" not in records[0]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_every_stage_resumes_bit_for_bit(stage, tmp_path):
    for number in range(3):
        write_clip(tmp_path / "clips" / f"{number}.mp4", moving_frames(9, 16, 16)[number:])
    OpenSoraVAE(SIZES).save(tmp_path / "start.safetensors")
    flags = ["--ckpt-path", "start.safetensors", "--video_folder", "clips", "--image_size", 16, "--num_workers", 1]
    flags += ["--checkpoint_interval", 2, "--learning_rate", "1e-3", "--perceptual_weight", 0, "--recompute", "False"]
    flags += ["--frame_buckets", "1", "5"] if stage == "stage3" else ["--sample_n_frames", 5]

    def train(folder, *more):
        recipe = RECIPES / f"{stage}.yaml"
        call_script("scripts/train_vae.py", recipe, *flags, "--output_path", folder, *more, cwd=tmp_path)
        return dict(TensorFile(max((tmp_path / folder / "checkpoints").glob("step_*"))))

    train("run", "--max_steps", 2)
    resumed, whole = train("run", "--resume", "--max_steps", 4), train("four", "--max_steps", 4)
    assert resumed.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, resumed[name])
