"""The image VAE itself: frame by frame, whole and in windows, saved and loaded, trained."""

import numpy as np
import pytest
from conftest import random_clip
from mindspore import Tensor

from mg.errors import InputError
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.image_vae.decoder import Decoder
from mg.models.image_vae.encoder import Encoder
from mg.models.image_vae.model import ImageVAE
from mg.models.image_vae.names import RULES
from mg.models.names import to_ours

pytestmark = pytest.mark.usefixtures("uncompiled")
NANO = {
    "block_out_channels": (4, 8),
    "layers_per_block": 1,
    "latent_channels": 2,
    "norm_num_groups": 2,
    "scaling_factor": (0.5, 2.0),
    "shift_factor": (0.0, 1.0),
    "use_quant_conv": True,
    "use_post_quant_conv": True,
}


@pytest.fixture(scope="module")
def nano():
    """A nano image VAE, every weight random. Not to be changed."""
    return randomise(ImageVAE(NANO))


def randomise(model):
    rng = np.random.default_rng(0)
    for p in model.get_parameters():
        fan_in = np.prod(p.shape[1:]) if len(p.shape) > 1 else 100
        start = p.asnumpy() if len(p.shape) == 1 else 0
        p.set_data(Tensor((start + fan_in**-0.5 * rng.standard_normal(p.shape)).astype(np.float32)))
    return model


def test_a_video_is_coded_frame_by_frame(nano):
    x = random_clip(1, 3, 3, 6, 7)
    recon, z, mean, logvar = nano(x, seed=0)
    assert recon.shape == x.shape
    assert z.shape == mean.shape == logvar.shape == (1, 2, 3, 3, 4)
    for t in range(3):
        one, _, one_mean, one_logvar = nano(x[:, :, t], seed=0)
        np.testing.assert_allclose(mean.asnumpy()[:, :, t], one_mean.asnumpy(), atol=1e-5)
        np.testing.assert_allclose(logvar.asnumpy()[:, :, t], one_logvar.asnumpy(), atol=1e-5)
        assert one.shape == (1, 3, 6, 7)
    decoded = nano.decode(mean, 2)
    assert decoded.shape == (1, 3, 2, 6, 8)
    np.testing.assert_allclose(decoded.asnumpy()[:, :, 1], nano.decode(mean[:, :, 1]).asnumpy(), atol=1e-5)


def test_windows_are_the_whole(nano):
    x = random_clip(1, 3, 11, 6, 6)
    assert (nano.latent_frames(11), nano.frames(11)) == (11, 11)
    mean, logvar = (part.asnumpy() for part in nano.encode(x)[1:])
    nano.use_tile = False
    whole = nano.encode(x)[1:]
    clip = nano.decode(mean).asnumpy()
    nano.use_tile = True
    np.testing.assert_allclose(mean, whole[0].asnumpy(), atol=1e-5)
    np.testing.assert_allclose(logvar, whole[1].asnumpy(), atol=1e-5)
    np.testing.assert_allclose(nano.decode(mean).asnumpy(), clip, atol=1e-5)
    streamed = [part[1].asnumpy() for part in nano.encode_stream(x[:, :, t] for t in range(11))]
    np.testing.assert_array_equal(np.concatenate(streamed, 2), mean)


def test_frames_are_padded_by_replication(nano):
    x = random_clip(1, 3, 5, 5).asnumpy()
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
    np.testing.assert_array_equal(nano.encode(x)[1].asnumpy(), nano.encode(padded)[1].asnumpy())
    with pytest.raises(InputError, match="at least 4"):
        nano.encode(x[:, :, :3])


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_saved_and_loaded_it_is_the_same(nano, tmp_path, suffix):
    nano.save(tmp_path / f"vae{suffix}")
    loaded = ImageVAE(pretrained=tmp_path / f"vae{suffix}")
    assert loaded.config == nano.config
    for p, expected in zip(loaded.get_parameters(), nano.get_parameters()):
        assert p.name == expected.name
        np.testing.assert_array_equal(p.asnumpy(), expected.asnumpy())


def test_factors_are_a_channels_own(nano):
    z = np.ones((1, 2, 1, 1, 1), np.float32)
    assert nano.scale(z).ravel().tolist() == [0.5, 0.0]
    assert nano.unscale(nano.scale(z)).ravel().tolist() == [1.0, 1.0]


def test_a_training_step_sees_reconstruction_and_moments(nano):
    forward = nano.training_forward()
    clip = random_clip(2, 3, 3, 6, 6)
    (shape,) = forward.noise_shapes(clip.shape)
    assert shape == (2, 2, 3, 3, 3)
    outputs = forward(clip, random_clip(*shape))
    nano.set_train(False)
    assert tuple(outputs) == forward.outputs == ("reconstruction", "mean", "logvar")
    assert outputs["reconstruction"].shape == clip.shape
    np.testing.assert_allclose(outputs["mean"].asnumpy(), nano.encode(clip)[1].asnumpy(), atol=1e-5)


def test_nothing_is_added_and_every_residual_block_can_be_recomputed(nano):
    assert not any(nano.is_added(p.name) for p in nano.get_parameters())
    assert [len(level) for level in nano.recompute_levels()] == [3, 7]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"block_out_channels": ()}, "block_out_channels is empty"),
        ({"block_out_channels": (4, 7)}, "does not divide 7"),
        ({"layers_per_block": 0}, "layers_per_block=0"),
        ({"scaling_factor": (1.0, 0.0)}, "must not be zero"),
        ({"shift_factor": (1.0,)}, "shift_factor has 1 numbers"),
        ({"use_quant_conv": 1}, "use_quant_conv=1"),
        ({"ch": 4}, "unknown key ch"),
    ],
)
def test_wrong_configurations_are_refused(change, words):
    with pytest.raises(InputError) as error:
        ImageVAEConfig.from_mapping({**NANO, **change})
    assert words in str(error.value)


SD15 = {"latent_channels": 4, "use_quant_conv": True, "use_post_quant_conv": True}


@pytest.mark.parametrize("config, millions", [(SD15, "83.65"), ({}, "83.82")])
def test_published_sizes(config, millions):
    config = ImageVAEConfig(**config)
    count = sum(p.size for network in (Encoder(config), Decoder(config)) for p in network.get_parameters())
    assert f"{count / 1e6:.2f}" == millions


def test_the_published_names_and_shapes_are_all_there(shared):
    prefix, shapes = "spatial_vae.module.", {}
    for line in (shared / "golden/opensora_vae_mini/names_full.txt").read_text().splitlines():
        name, shape = line.split("\t")
        if name.startswith(prefix):
            shapes[name[len(prefix) :]] = tuple(int(n) for n in shape.strip("()").split(",") if n.strip())
    expected = {ours: shapes[theirs] for ours, theirs in to_ours(shapes, RULES["diffusers"]).items()}
    config = ImageVAEConfig(**SD15)
    own = {}
    for side, network in (("encoder", Encoder(config)), ("decoder", Decoder(config))):
        own |= {f"{side}.{name}": p.shape for name, p in network.parameters_and_names()}
    assert own == expected
