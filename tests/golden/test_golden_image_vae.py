"""The image VAE against arrays that diffusers and Open-Sora's program computed."""

import numpy as np
import pytest
from conftest import graphs, pynative

from mg.models.image_vae.model import ImageVAE
from mg.models.names import find_file
from mg.models.weights import TensorFile, save_file

pytestmark = pytest.mark.usefixtures("uncompiled")


def load(source):
    return ImageVAE(pretrained=TensorFile(find_file(source)))


def largest_difference(tensor, expected):
    return np.abs(tensor.asnumpy() - expected).max()


@pytest.mark.parametrize(
    "folder, mode",
    [
        ("sd35_mini", pynative),
        pytest.param("sd35_mini", graphs, marks=pytest.mark.slow),  # that both agree is in tests/contract
        ("sd35_mini_bf16", pynative),
    ],
)
def test_a_folder_of_diffusers_gives_what_diffusers_gives(shared, folder, mode):
    vae = load(shared / "golden" / folder)
    golden = np.load(shared / "golden" / folder / "io.npz")
    with mode():
        _, mean, logvar = vae.encode(golden["image"])
        decoded = vae.decode(mean)
    assert vae.graphs == (2 if mode is graphs else 0)
    assert largest_difference(mean, golden["moments"][:, :16]) < 2e-5
    assert largest_difference(logvar, golden["moments"][:, 16:]) < 2e-5
    assert largest_difference(decoded, golden["decoded"]) < 5e-5


def test_the_single_file_holds_the_same_weights(shared):
    folder = shared / "golden/sd35_mini"
    single = load(folder / "single_file_ldm_names.safetensors")
    expected = {p.name: p.asnumpy() for p in load(folder).get_parameters()}
    assert single.config == load(folder).config
    assert [p.name for p in single.get_parameters()] == list(expected)
    for p in single.get_parameters():
        np.testing.assert_array_equal(p.asnumpy(), expected[p.name])


def test_the_spatial_part_of_another_model_is_an_image_vae(shared, tmp_path):
    folder, prefix = shared / "golden/opensora_vae_mini", "spatial_vae.module."
    file = TensorFile(folder / "weights.safetensors")
    tensors = {name[len(prefix) :]: file[name] for name in file if name.startswith(prefix)}
    save_file(tensors, str(tmp_path / "diffusion_pytorch_model.safetensors"))
    vae = load(tmp_path)
    assert vae.config["use_quant_conv"] and vae.config["use_post_quant_conv"]
    golden = np.load(folder / "io.npz")
    _, mean, logvar = vae.encode(golden["video"][:, :, :2])
    frames = (0, slice(None), slice(None))
    assert largest_difference(mean[frames].swapaxes(0, 1), golden["spatial_mean"]) < 1e-4
    assert largest_difference(logvar[frames].swapaxes(0, 1), golden["spatial_logvar"]) < 1e-4
    np.testing.assert_allclose(vae.scale(mean).asnumpy(), golden["x_z"][:, :, :2], atol=1e-4)
    assert largest_difference(vae.decode(mean), golden["x_spatial_rec"]) < 2e-4
