"""Against arrays that diffusers and upstream computed; as graphs where these are the subject, else without."""

import mindspore as ms
import numpy as np
import pytest
from calls import call_script
from conftest import graphs, pynative
from mindspore import Tensor

from mg.models import weights
from mg.models.tae.convert import convert
from mg.models.tae.inflate import inflate
from mg.models.tae.tae import TemporalAutoencoder

pytestmark = pytest.mark.usefixtures("uncompiled")
INFLATE = "tools/inflate_vae_to_tae.py"


def largest_difference(a, b):
    return np.abs((a.asnumpy() if isinstance(a, Tensor) else a) - b).max()


@pytest.mark.parametrize(
    "folder, mode",
    [
        ("sd35_mini", pynative),
        pytest.param("sd35_mini", graphs, marks=pytest.mark.slow),  # upstream's weights are one without being slow
        ("sd35_mini_bf16", pynative),
    ],
)
def test_inflated_through_the_tool_it_is_the_image_vae(shared, tmp_path, folder, mode):
    source = shared / "golden" / folder
    call_script(INFLATE, "--src", source, "--target", "tae.ckpt", cwd=tmp_path)
    golden = np.load(source / "io.npz")
    tae = TemporalAutoencoder(pretrained=tmp_path / "tae.ckpt")
    with mode():
        _, mean, logvar = tae.encode(Tensor(golden["image"][:, :, None]))
        decoded = tae.decode(mean, num_target_frames=1)
    assert tae.graphs == (2 if mode is graphs else 0)
    moments = np.concatenate((mean.asnumpy(), logvar.asnumpy()), 1)[:, :, 0]
    assert largest_difference(moments, golden["moments"]) < 2e-5
    assert decoded.shape[2] == 1
    assert largest_difference(decoded[:, :, 0], golden["decoded"]) < 5e-5


@pytest.mark.parametrize(
    "folder, file, target, options",
    [
        ("sd35_mini", "diffusion_pytorch_model.safetensors", "tae.ckpt", ()),
        ("sd35_mini", "single_file_ldm_names.safetensors", "tae.ckpt", ()),
        ("sd35_mini", "", "tae.safetensors", ("--omit_identity",)),
        ("sd35_mini_bf16", "diffusion_pytorch_model.safetensors", "tae.safetensors", ("--dtype", "bf16")),
    ],
)
def test_every_source_and_target_gives_the_same_weights(shared, tmp_path, folder, file, target, options):
    source = shared / "golden" / folder
    call_script(INFLATE, "--src", source / file, "--target", target, *options, cwd=tmp_path)
    expected = {p.name: p.asnumpy() for p in inflate(source).tae.get_parameters()}
    loaded = {p.name: p.asnumpy() for p in TemporalAutoencoder(pretrained=tmp_path / target).get_parameters()}
    assert loaded.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(loaded[name], expected[name])


def test_sizes_that_are_no_multiples_of_8_are_padded_by_replication(shared):
    tae = inflate(shared / "golden" / "sd35_mini").tae
    image = np.load(shared / "golden" / "sd35_mini" / "io.npz")["image"][:, :, :37, :50]
    padded = np.pad(image, ((0, 0), (0, 0), (0, 3), (0, 6)), mode="edge")
    recon, _, mean, _ = tae(Tensor(image), seed=0)
    recon_padded, _, mean_padded, _ = tae(Tensor(padded), seed=0)
    assert largest_difference(mean, mean_padded.asnumpy()) == 0
    assert recon.shape == image.shape
    assert largest_difference(recon, recon_padded.asnumpy()[:, :, :37, :50]) == 0


def test_a_17_frame_video_is_the_image_vae_of_frames_7_15_and_16(shared):
    tae = inflate(shared / "golden" / "sd35_mini").tae
    image = np.load(shared / "golden" / "sd35_mini" / "io.npz")["image"]
    rng = np.random.default_rng(0)
    video = np.stack([np.roll(image[t % 2], t, -1) * rng.uniform(0.5, 1) for t in range(17)], 1)[None]
    _, mean, logvar = tae.encode(Tensor(video))
    _, image_mean, image_logvar = tae.encode(Tensor(video[0].swapaxes(0, 1)[[7, 15, 16]]))
    assert largest_difference(mean[0].swapaxes(0, 1), image_mean.asnumpy()) < 5e-5
    assert largest_difference(logvar[0].swapaxes(0, 1), image_logvar.asnumpy()) < 5e-5
    held = np.repeat(tae.decode(image_mean).asnumpy(), 8, 0)
    assert largest_difference(tae.decode(mean)[0].swapaxes(0, 1), held) < 5e-5
    assert largest_difference(tae.decode(mean, 17)[0].swapaxes(0, 1), held[:17]) < 5e-5
    still = tae.encode(Tensor(np.repeat(image[:1, :, None], 17, 2)))[1]
    images = tae.encode(Tensor(np.repeat(image[:1], 3, 0)))[1]
    assert largest_difference(still[0].swapaxes(0, 1), images.asnumpy()) < 5e-5
    assert largest_difference(tae.decode(still)[0].swapaxes(0, 1), np.repeat(tae.decode(images).asnumpy(), 8, 0)) < 5e-5


def test_upstreams_checkpoint_gives_upstreams_results(shared, tmp_path):
    source = shared / "golden" / "moviegen_mini"
    call_script("tools/convert_checkpoint.py", "--src", source / "tae.ckpt", "--target", "tae.ckpt", cwd=tmp_path)
    tae = TemporalAutoencoder(pretrained=tmp_path / "tae.ckpt")
    assert tae.config["norm_statistics"] == "clip"
    golden = np.load(source / "io.npz")
    with graphs():
        _, mean, logvar = tae.encode(Tensor(golden["video"]))
        decoded = tae.decode(Tensor(golden["mean"]))
    assert tae.graphs == 2
    assert largest_difference(mean, golden["mean"]) < 1e-4
    assert largest_difference(logvar, golden["logvar"]) < 1e-4
    assert largest_difference(decoded, golden["decoded"]) < 1e-4


@pytest.mark.parametrize("prefix, suffix", [("autoencoder.", ".ckpt"), ("network.autoencoder.", ".safetensors")])
def test_upstreams_names_are_found_under_their_prefixes(shared, tmp_path, prefix, suffix):
    original = shared / "golden" / "moviegen_mini" / "tae.ckpt"
    tensors = {prefix + name: p.asnumpy() for name, p in ms.load_checkpoint(str(original)).items()}
    tensors["optimizer.global_step"] = np.zeros(1, np.float32)
    source = tmp_path / f"upstream{suffix}"
    if suffix == ".ckpt":
        ms.save_checkpoint([{"name": name, "data": Tensor(value)} for name, value in tensors.items()], str(source))
    else:
        weights.save_file(tensors, str(source))
    for p, expected in zip(convert(source).get_parameters(), convert(original).get_parameters()):
        np.testing.assert_array_equal(p.asnumpy(), expected.asnumpy())
