"""Folders that diffusers' AutoencoderKL loads, and what it computes with them where it is installed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from calls import call_script
from conftest import FOUR_LEVELS, check_one_line_error, random_clip, randomise
from mindspore import Tensor

from mg.models import families
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.weights import named_parameters

pytestmark = pytest.mark.usefixtures("uncompiled")
TOOL = "tools/store_weights.py"
VAE = {"block_out_channels": [8, 16], "norm_num_groups": 2, "latent_channels": 2, "layers_per_block": 1}
# Another Python that has diffusers and PyTorch, if this one has not.
PYTHON = os.environ.get("DIFFUSERS_PYTHON", sys.executable)
CHECK = """
import numpy as np, torch
from diffusers import AutoencoderKL
vae, given = AutoencoderKL.from_pretrained("out"), np.load("given.npz")
with torch.no_grad():
    moments = vae.encode(torch.from_numpy(given["image"])).latent_dist
    decoded = vae.decode(torch.from_numpy(given["mean"])).sample
np.savez("theirs.npz", mean=moments.mean.numpy(), logvar=moments.logvar.numpy(), decoded=decoded.numpy())
"""


def random_vae(**changes):
    vae = families.build("image_vae", {**VAE, **changes}, "fp32")
    rng = np.random.default_rng(0)
    for p in vae.get_parameters():
        p.set_data(Tensor((p.asnumpy() + 0.1 * rng.standard_normal(p.shape)).astype(np.float32)))
    return vae


def random_tae(attention):
    """Every weight random; attention: also that over time, which otherwise does nothing, as it starts."""
    tae = randomise(TemporalAutoencoder(FOUR_LEVELS))
    for name, p in named_parameters(tae).items():
        if ".temporal_attention.projection." in name and not attention:
            p.set_data(Tensor(np.zeros(p.shape, np.float32)))
    return tae


def store(model, folder, *flags):
    model.save(folder / "model.safetensors")
    flags = ("--format", "diffusers", "--dtype", "fp32", *flags)
    return call_script(TOOL, "--src", "model.safetensors", "--target", "out", *flags, cwd=folder)


def test_an_image_vae_comes_back_as_it_was(tmp_path):
    vae = random_vae(use_quant_conv=True, use_post_quant_conv=True)
    store(vae, tmp_path)
    again = families.load(tmp_path / "out")
    assert again.config == vae.config
    for name, p in named_parameters(again).items():
        np.testing.assert_array_equal(p.asnumpy(), named_parameters(vae)[name].asnumpy())


def test_factors_a_channel_come_back(tmp_path):
    vae = random_vae(scaling_factor=[2.0, 4.0], shift_factor=[0.5, -0.25])
    store(vae, tmp_path)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["latents_mean"], config["latents_std"]) == ([0.5, -0.25], [0.5, 0.25])
    assert families.load(tmp_path / "out").config == vae.config


@pytest.mark.parametrize("attention", [False, True])
def test_the_image_half_of_a_trained_tae_gives_what_it_gives_for_images(tmp_path, attention):
    tae = random_tae(attention)
    done = store(tae, tmp_path)
    half, image = families.load(tmp_path / "out", "fp32"), random_clip(1, 3, 16, 24)
    (_, *ours), (_, *theirs) = tae.encode(image), half.encode(image)
    pairs = [*zip(ours, theirs), (tae.decode(ours[0]), half.decode(ours[0]))]
    apart = [np.abs(a.asnumpy() - b.asnumpy()).max() / np.abs(a.asnumpy()).max() for a, b in pairs]
    assert (max(apart) < 1e-5) == (not attention), apart
    assert ("left out" in done.stdout) == attention


def test_a_tae_whose_frames_of_an_image_differ_is_refused(tmp_path):
    TemporalAutoencoder({**FOUR_LEVELS, "upsample_padding": "zeros"}).save(tmp_path / "model.safetensors")
    flags = ("--src", "model.safetensors", "--target", "out", "--format", "diffusers")
    check_one_line_error(call_script(TOOL, *flags, cwd=tmp_path, code=2), "upsample_padding=zeros")


@pytest.mark.parametrize("kind", ["image_vae", "tae"])
def test_diffusers_computes_the_same(tmp_path, kind):
    there = subprocess.run([PYTHON, "-c", "import diffusers, torch"], capture_output=True, timeout=120)
    if there.returncode:
        pytest.skip("diffusers and PyTorch are not installed; DIFFUSERS_PYTHON may name a Python that has them")
    model = random_vae(use_quant_conv=True, use_post_quant_conv=True) if kind == "image_vae" else random_tae(False)
    store(model, tmp_path)
    image = random_clip(1, 3, 16, 24)
    _, mean, logvar = (tensor.asnumpy() for tensor in model.encode(image))
    np.savez(tmp_path / "given.npz", image=image.asnumpy(), mean=mean)
    done = subprocess.run([PYTHON, "-c", CHECK], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "theirs.npz") as theirs:
        for name, value in (("mean", mean), ("logvar", logvar), ("decoded", model.decode(mean).asnumpy())):
            assert np.abs(theirs[name] - value).max() < 2e-5 * np.abs(value).max(), name
