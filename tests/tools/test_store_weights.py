"""Weights come back as they were, in another type, with the factors of their own latents."""

import json

import numpy as np
import pytest
from conftest import check_one_line_error, run

from mg.files import sha256
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.weights import named_parameters

TOOL = "tools/store_weights.py"


@pytest.fixture
def trained(random_nano, tmp_path):
    random_nano.save(tmp_path / "trained.safetensors")
    return tmp_path / "trained.safetensors"


def write_statistics(folder, sha, **changes):
    (folder / "figures.json").write_text(json.dumps({"shift": 0.25, "scaling": 2.0, "weights_sha256": sha, **changes}))


@pytest.mark.parametrize("dtype, bits", [("fp32", 24), ("fp16", 11), ("bf16", 8)])
def test_weights_and_factors_are_stored(random_nano, trained, tmp_path, dtype, bits):
    write_statistics(tmp_path, sha256(trained))
    flags = ("--target", "out.safetensors", "--statistics", "figures.json", "--dtype", dtype)
    done = run(TOOL, "--src", "trained.safetensors", *flags, cwd=tmp_path)
    stored = TemporalAutoencoder(pretrained=tmp_path / "out.safetensors")
    assert stored.config == {**random_nano.config, "shift_factor": 0.25, "scaling_factor": 2.0}
    expected = named_parameters(random_nano)
    for name, parameter in named_parameters(stored).items():
        np.testing.assert_allclose(parameter.asnumpy(), expected[name].asnumpy(), rtol=2.0**-bits, atol=1e-7)
    assert sha256(tmp_path / "out.safetensors") in done.stdout


def test_without_statistics_the_factors_stay(random_nano, trained, tmp_path):
    run(TOOL, "--src", "trained.safetensors", "--target", "out.ckpt", cwd=tmp_path)
    assert TemporalAutoencoder(pretrained=tmp_path / "out.ckpt").config == random_nano.config


def test_what_does_not_fit_is_refused(trained, tmp_path):
    flags = ("--src", "trained.safetensors", "--target", "out.safetensors", "--statistics", "figures.json")
    write_statistics(tmp_path, "ab" * 32)
    check_one_line_error(run(TOOL, *flags, cwd=tmp_path, code=2), "figures.json", "other weights")
    (tmp_path / "figures.json").write_text('{"shift": 1.0}')
    check_one_line_error(run(TOOL, *flags, cwd=tmp_path, code=2), "no statistics of latents", "latent_statistics.py")
    write_statistics(tmp_path, sha256(trained), scaling="high")
    check_one_line_error(run(TOOL, *flags, cwd=tmp_path, code=2), "scaling_factor")
    itself = ("--src", "trained.safetensors", "--target", "trained.safetensors")
    check_one_line_error(run(TOOL, *itself, cwd=tmp_path, code=2), "is the source itself")
    assert not (tmp_path / "out.safetensors").exists()
