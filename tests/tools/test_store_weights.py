"""Weights come back as they were, in another type, with the factors of their own latents."""

import json

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error

from mg.files import sha256
from mg.models import families
from mg.models.weights import named_parameters

TOOL = "tools/store_weights.py"


@pytest.fixture
def trained(random_nano, tmp_path):
    random_nano.save(tmp_path / "trained.safetensors")
    return tmp_path / "trained.safetensors"


def write_statistics(folder, sha, **changes):
    (folder / "figures.json").write_text(json.dumps({"shift": 0.25, "scaling": 2.0, "weights_sha256": sha, **changes}))


def test_factors_a_channel_go_where_a_family_can_have_them(trained, tmp_path):
    vae = families.build("image_vae", {"block_out_channels": [8, 8], "norm_num_groups": 2, "latent_channels": 2})
    vae.save(tmp_path / "vae.safetensors")
    channels = [{"shift": 0.5, "scaling": 2.0}, {"shift": -0.25, "scaling": 4.0}]
    write_statistics(tmp_path, sha256(tmp_path / "vae.safetensors"), channels=channels)
    flags = ("--target", "out.safetensors", "--statistics", "figures.json", "--per_channel")
    call_script(TOOL, "--src", "vae.safetensors", *flags, cwd=tmp_path)
    stored = families.load(tmp_path / "out.safetensors")
    assert stored.config["scaling_factor"] == (2, 4) and stored.config["shift_factor"] == (0.5, -0.25)
    write_statistics(tmp_path, sha256(trained), channels=channels)
    done = call_script(TOOL, "--src", "trained.safetensors", *flags, cwd=tmp_path, code=2)
    check_one_line_error(done, "scaling_factor")


@pytest.mark.parametrize("dtype, bits", [("fp32", 24), ("fp16", 11), ("bf16", 8)])
def test_weights_and_factors_are_stored(random_nano, trained, tmp_path, dtype, bits):
    write_statistics(tmp_path, sha256(trained))
    flags = ("--target", "out.safetensors", "--statistics", "figures.json", "--dtype", dtype)
    done = call_script(TOOL, "--src", "trained.safetensors", *flags, cwd=tmp_path)
    stored = families.load(tmp_path / "out.safetensors")
    assert stored.config == {**random_nano.config, "shift_factor": 0.25, "scaling_factor": 2.0}
    expected = named_parameters(random_nano)
    for name, parameter in named_parameters(stored).items():
        np.testing.assert_allclose(parameter.asnumpy(), expected[name].asnumpy(), rtol=2.0**-bits, atol=1e-7)
    assert sha256(tmp_path / "out.safetensors") in done.stdout


def test_without_statistics_the_factors_stay(random_nano, trained, tmp_path):
    call_script(TOOL, "--src", "trained.safetensors", "--target", "out.ckpt", cwd=tmp_path)
    assert families.load(tmp_path / "out.ckpt").config == random_nano.config


def test_what_does_not_fit_is_refused(trained, tmp_path):
    flags = ("--src", "trained.safetensors", "--target", "out.safetensors", "--statistics", "figures.json")
    write_statistics(tmp_path, "ab" * 32)
    check_one_line_error(call_script(TOOL, *flags, cwd=tmp_path, code=2), "figures.json", "other weights")
    (tmp_path / "figures.json").write_text('{"shift": 1.0}')
    check_one_line_error(
        call_script(TOOL, *flags, cwd=tmp_path, code=2), "no statistics of latents", "latent_statistics.py"
    )
    write_statistics(tmp_path, sha256(trained), scaling="high")
    check_one_line_error(call_script(TOOL, *flags, cwd=tmp_path, code=2), "scaling_factor")
    itself = ("--src", "trained.safetensors", "--target", "trained.safetensors")
    check_one_line_error(call_script(TOOL, *itself, cwd=tmp_path, code=2), "is the source itself")
    assert not (tmp_path / "out.safetensors").exists()
