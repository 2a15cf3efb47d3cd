"""Open-Sora's VAE against arrays that its own program computed, and the names of its published weights."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT, pynative, run
from mindspore import Tensor

from mg.models import families, weights
from mg.models.opensora_vae.config import OpenSoraVAEConfig
from mg.models.opensora_vae.model import OpenSoraVAE
from mg.models.opensora_vae.read import open_foreign
from mg.models.weights import TensorFile

LATENT, PIXEL = 1e-4, 2e-4


@pytest.fixture(scope="module")
def folder():
    path = ROOT.parent / "shared/golden/opensora_vae_mini"
    if not path.is_dir():
        pytest.skip("the golden arrays of the folder 'shared' are not beside the repository")
    return path


@pytest.fixture(scope="module")
def golden(folder):
    return np.load(folder / "io.npz")


@pytest.fixture(scope="module")
def vae(folder, tmp_path_factory):
    """Converted as users do it, and loaded through the public door."""
    target = tmp_path_factory.mktemp("converted") / "vae.safetensors"
    run("tools/convert_checkpoint.py", "--src", folder / "weights.safetensors", "--target", target, cwd=target.parent)
    return families.load(target, "fp32")


def largest(tensor, expected):
    array = tensor.asnumpy() if isinstance(tensor, Tensor) else tensor
    assert array.shape == expected.shape
    return np.abs(array - expected).max()


SLOW = [pytest.param(frames, marks=pytest.mark.slow) for frames in (5, 16, 33)]  # each compiles for a length more


@pytest.mark.parametrize("frames", [1, 17, 34, *SLOW])
def test_windows_of_17(vae, golden, frames):
    check(vae, golden, frames, f"t{frames}" if frames < 33 else f"t{frames}_micro17")


@pytest.mark.slow
@pytest.mark.parametrize("frames", [33, 34])
def test_the_whole_clip_in_one(vae, golden, frames):
    tiles = vae.tiles
    vae.tiles = tiles.but(time_mode="whole")
    check(vae, golden, frames, f"t{frames}_whole")
    vae.tiles = tiles


def check(vae, golden, frames, key):
    _, mean, logvar = vae.encode(golden["video"][:, :, :frames])
    assert largest(mean, golden[f"{key}_mean"]) < LATENT
    assert largest(logvar, golden[f"{key}_logvar"]) < LATENT
    assert largest(vae.scale(mean), golden[f"{key}_z"]) < LATENT
    np.testing.assert_allclose(vae.unscale(vae.scale(mean)).asnumpy(), mean.asnumpy(), atol=2e-6)
    assert largest(vae.decode(mean, frames), golden[f"{key}_x_rec"]) < PIXEL


def test_both_modes_agree_bit_for_bit_where_there_is_one_window(vae, golden):
    tiles, found = vae.tiles, []
    for mode in ("restart", "whole"):
        vae.tiles = tiles.but(time_mode=mode)
        _, mean, _ = vae.encode(golden["video"][:, :, :17])
        found.append((mean.asnumpy(), vae.decode(mean, 17).asnumpy()))
    vae.tiles = tiles
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)


def test_latents_of_the_image_part_and_two_clips_at_once(vae, golden):
    image = vae.image_model()
    with pynative():
        _, mean, logvar = image.encode(golden["video"][:, :, :2])
        assert largest(image.decode(mean), golden["x_spatial_rec"]) < PIXEL
    assert largest(mean.asnumpy()[0].swapaxes(0, 1), golden["spatial_mean"]) < LATENT
    assert largest(logvar.asnumpy()[0].swapaxes(0, 1), golden["spatial_logvar"]) < LATENT
    assert largest(image.scale(mean), golden["x_z"][:, :, :2]) < LATENT
    with pynative():
        _, mean, logvar = vae.encode(golden["batch"])
        decoded = vae.decode(mean, 6)
    assert largest(mean, golden["batch_mean"]) < LATENT
    assert largest(logvar, golden["batch_logvar"]) < LATENT
    assert largest(decoded, golden["batch_x_rec"]) < PIXEL


@pytest.mark.usefixtures("uncompiled")
def test_both_parts_in_files_of_their_own_are_the_same_model(folder, tmp_path, vae):
    whole = TensorFile(folder / "weights.safetensors")
    for part, prefix in (("image", "spatial_vae.module."), ("temporal", "temporal_vae.")):
        tensors = {name[len(prefix) :]: whole[name] for name in whole if name.startswith(prefix)}
        weights.save_file(tensors, str(tmp_path / f"{part}.safetensors"))
    parts = "--src", "temporal.safetensors", "--spatial", "image.safetensors", "--target", "both.safetensors"
    run("tools/convert_checkpoint.py", *parts, cwd=tmp_path)
    both = TensorFile(tmp_path / "both.safetensors")
    for name, parameter in weights.named_parameters(vae).items():
        np.testing.assert_array_equal(both[name], parameter.asnumpy())
    assert both.header["config"]["scaling_factor"] == 1.0  # a temporal VAE alone carries no factors


class Published(TensorFile):
    """A file of these names and shapes, whose values nobody reads."""

    def __init__(self, shapes):
        self._names, self.header, self.path = shapes, {}, "published.safetensors"
        self._read = lambda name: np.broadcast_to(np.float32(1), shapes[name])


def test_every_tensor_of_the_published_size_has_its_place(folder):
    rows = [line.split("\t") for line in (folder / "names_full.txt").read_text().splitlines()]
    shapes = {name: tuple(int(n) for n in shape.strip("()").split(",") if n) for name, shape in rows}
    foreign = open_foreign(Published(shapes))
    assert len(shapes) == 517 and families.family_of("opensora_vae").reads(shapes)
    sizes, published = foreign.config.as_mapping(), OpenSoraVAEConfig().as_mapping()
    assert {key for key in published if sizes[key] != published[key]} == {"scaling_factor", "shift_factor"}
    parameters = weights.named_parameters(OpenSoraVAE())
    assert {name: tuple(p.shape) for name, p in parameters.items()} == {name: foreign[name].shape for name in foreign}
    for part, millions in (("temporal", 309.69), ("spatial", 83.65)):
        count = sum(p.size for name, p in parameters.items() if f".{part}." in name)
        assert round(count / 1e6, 2) == millions
