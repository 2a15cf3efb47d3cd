"""The contract of an autoencoder, on a nano model. What is not about graphs is computed without them."""

import mindspore as ms
import numpy as np
import pytest
from conftest import FOUR_LEVELS, NANO, graphs, random_clip, randomise
from mindspore import Tensor, nn

from mg.errors import InputError
from mg.models.latents import draw_noise, sample
from mg.models.tae.tae import TemporalAutoencoder

pytestmark = pytest.mark.usefixtures("uncompiled")


def test_what_is_folded_outside_training_changes_nothing():
    sizes = {"ch": 24, "ch_mult": (1, 2), "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 2}
    tae = randomise(TemporalAutoencoder(sizes))
    assert tae.encoder.conv_in.joined and not tae.decoder.conv_out.joined
    clip, latents = random_clip(1, 3, 5, 20, 16), random_clip(1, 4, 3, 10, 8)
    folded = [tae.encoder(clip)[0], tae.encoder(clip)[1], tae.decoder(latents)]
    tae.set_train()
    plain = [tae.encoder(clip)[0], tae.encoder(clip)[1], tae.decoder(latents)]
    for a, b in zip(folded, plain):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=2e-5 * np.abs(b.asnumpy()).max())


@pytest.mark.parametrize(
    "frames, height, width, latents",
    [(1, 16, 16, (1, 8, 8)), (9, 24, 16, (5, 12, 8)), (18, 17, 30, (9, 9, 15))],
)
def test_reconstruction_has_the_shape_of_the_input(random_nano, frames, height, width, latents):
    check_shapes(random_nano, frames, height, width, latents)


@pytest.mark.parametrize(
    "frames, height, width, latents",
    [(1, 16, 16, (1, 2, 2)), (9, 24, 16, (2, 3, 2)), (18, 17, 30, (3, 3, 4))],
)
def test_four_levels_compress_by_eight_each_way(four_levels, frames, height, width, latents):
    check_shapes(four_levels, frames, height, width, latents)


@pytest.fixture(scope="module")
def four_levels():
    """A nano model as deep as the full one, every weight random."""
    return randomise(TemporalAutoencoder(FOUR_LEVELS))


def check_shapes(tae, frames, height, width, latents):
    x = random_clip(1, 3, frames, height, width)
    recon, z, mean, logvar = tae(x, seed=0)
    assert recon.shape == x.shape
    assert z.shape == mean.shape == logvar.shape == (1, NANO["z_channels"], *latents)
    assert np.isfinite(recon.asnumpy()).all()
    assert recon.dtype == z.dtype == mean.dtype == logvar.dtype == ms.float32


def test_call_is_decode_of_encode(random_nano):
    x = random_clip(1, 3, 9, 24, 16)
    recon, z, mean, logvar = random_nano(x, seed=5)
    z2, mean2, logvar2 = random_nano.encode(x, seed=5)
    for a, b in ((z, z2), (mean, mean2), (logvar, logvar2), (recon, random_nano.decode(z2, num_target_frames=9))):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def test_images_and_videos_in_one_process(random_nano):
    images = random_clip(2, 3, 24, 16)
    recon, z, mean, logvar = random_nano(images, seed=1)
    assert recon.shape == (2, 3, 24, 16)
    assert z.shape == mean.shape == logvar.shape == (2, 4, 12, 8)
    clips = images.expand_dims(2)
    as_clips = random_nano(clips, seed=1)
    for a, b in zip((recon, z, mean, logvar), as_clips):
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy()[:, :, 0])
    assert random_nano.decode(z).shape == (2, 3, 24, 16)
    assert random_nano.encode(random_clip(2, 3, 9, 24, 16))[0].shape == (2, 4, 5, 12, 8)


def test_clips_of_a_batch_do_not_see_each_other(random_nano):
    x = random_clip(2, 3, 9, 24, 16)
    mean = random_nano.encode(x)[1].asnumpy()
    np.testing.assert_allclose(mean[1:], random_nano.encode(x[1:])[1].asnumpy(), atol=1e-5)


def test_frames_of_an_untrained_video_do_not_see_each_other_through_norms(nano):
    x = random_clip(1, 3, 9, 24, 16)
    alone = nano.encode(x[:, :, 1])[1].asnumpy()
    np.testing.assert_allclose(nano.encode(x)[1].asnumpy()[:, :, 0], alone, atol=1e-5)


def test_seed_decides_the_sample_and_nothing_else(random_nano):
    x = random_clip(1, 3, 16, 16)
    z1, mean1, _ = random_nano.encode(x, seed=1)
    z2, mean2, _ = random_nano.encode(x, seed=2)
    np.testing.assert_array_equal(z1.asnumpy(), random_nano.encode(x, seed=1)[0].asnumpy())
    np.testing.assert_array_equal(mean1.asnumpy(), mean2.asnumpy())
    assert not np.array_equal(z1.asnumpy(), z2.asnumpy())
    assert not np.array_equal(random_nano.encode(x)[0].asnumpy(), random_nano.encode(x)[0].asnumpy())


def test_the_sample_follows_mean_and_log_variance(random_nano):
    z, mean, logvar = (t.asnumpy() for t in random_nano.encode(random_clip(2, 3, 9, 24, 16), seed=0))
    noise = (z - mean) / np.exp(0.5 * logvar)
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1


def test_surplus_frames_are_dropped_from_the_end(random_nano):
    z = random_clip(1, 4, 2, 3, 2)
    whole = random_nano.decode(z).asnumpy()
    assert whole.shape == (1, 3, 4, 6, 4)
    np.testing.assert_array_equal(random_nano.decode(z, num_target_frames=3).asnumpy(), whole[:, :, :3])
    np.testing.assert_array_equal(random_nano.decode(z, target_num_frames=1).asnumpy(), whole[:, :, :1])
    np.testing.assert_array_equal(random_nano.decode(z, 4).asnumpy(), whole)


def test_scale_and_unscale_use_the_models_own_factors():
    tae = TemporalAutoencoder({**NANO, "scaling_factor": 2.0, "shift_factor": 0.5})
    z = Tensor(np.array([1.0, 2.0], np.float32))
    assert tae.scale(z).asnumpy().tolist() == [1.0, 3.0]
    np.testing.assert_allclose(tae.unscale(tae.scale(z)).asnumpy(), z.asnumpy())


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floating_types_are_cast_at_the_door(random_nano, dtype):
    x = random_clip(1, 3, 16, 16).asnumpy().astype(dtype)
    expected = random_nano.encode(Tensor(x.astype(np.float32)))[1].asnumpy()
    for given in (Tensor(x), x):
        mean = random_nano.encode(given)[1]
        assert mean.dtype == ms.float32
        np.testing.assert_array_equal(mean.asnumpy(), expected)


def test_bf16_input_is_cast_at_the_door(random_nano):
    x = random_clip(1, 3, 16, 16)
    mean = random_nano.encode(x.astype(ms.bfloat16))[1].asnumpy()
    np.testing.assert_array_equal(mean, random_nano.encode(x.astype(ms.bfloat16).float())[1].asnumpy())


def test_fp16_model_is_close_to_fp32_and_returns_fp32(random_nano):
    half = randomise(TemporalAutoencoder(NANO, dtype="fp16"))
    x = random_clip(1, 3, 9, 24, 16)
    recon, z, mean, _ = half(x, seed=0)
    assert recon.dtype == z.dtype == ms.float32
    expected = random_nano(x, seed=0)
    assert 0 < np.abs(mean.asnumpy() - expected[2].asnumpy()).max() < 0.02
    assert np.abs(recon.asnumpy() - expected[0].asnumpy()).max() < 0.05


@pytest.mark.slow  # of two levels, here and for every family: tests/contract/test_battery.py
def test_graph_and_pynative_agree(random_nano):
    x = random_clip(1, 3, 9, 24, 16)
    in_pynative = [t.asnumpy() for t in random_nano(x, seed=0)]
    with graphs():
        in_graph = [t.asnumpy() for t in random_nano(x, seed=0)]
        again = [t.asnumpy() for t in random_nano(x, seed=0)]
    for a, b, c in zip(in_graph, in_pynative, again):
        np.testing.assert_allclose(a, b, atol=1e-4)
        np.testing.assert_array_equal(a, c)


class Loss(nn.Cell):
    """What a training step computes: the autoencoder as a part of one network."""

    def __init__(self, tae):
        super().__init__()
        self.tae = tae

    def construct(self, x, noise):
        mean, logvar = self.tae.encoder(x)
        z = sample(mean, logvar, noise)
        recon = self.tae.decoder(z)[:, :, : x.shape[2]]
        return ((recon - x) ** 2).mean() + (z**2).mean() + logvar.mean(), recon


def test_as_part_of_a_training_step_it_gives_the_same_and_every_parameter_gets_a_gradient(random_nano):
    """Without a graph; tests/training/test_steps.py compiles the step and looks at its gradients."""
    tae = randomise(TemporalAutoencoder(NANO)).set_train()
    x = random_clip(1, 3, 10, 24, 16)
    noise = draw_noise((1, 4, 5, 12, 8), np.random.default_rng(4))
    loss = Loss(tae)
    parameters = list(tae.get_parameters())
    (_, recon), gradients = ms.value_and_grad(loss, None, parameters, has_aux=True)(x, Tensor(noise))
    np.testing.assert_allclose(recon.asnumpy(), random_nano(x, seed=4)[0].asnumpy(), atol=1e-5)
    sizes = {p.name: float(np.abs(g.asnumpy()).max()) for p, g in zip(parameters, gradients)}
    largest = max(sizes.values())
    # Softmax does not see a bias that all keys share.
    without = [name for name, size in sizes.items() if size <= 1e-6 * largest and ".key.bias" not in name]
    assert not without


@pytest.mark.parametrize(
    "shape, words",
    [
        ((3, 16, 16), "has shape"),
        ((1, 3, 1, 1, 16, 16), "has shape"),
        ((1, 4, 1, 16, 16), "must be (B, 3, T, H, W)"),
        ((1, 1, 16, 16), "must be (B, 3, T, H, W)"),
        ((1, 3, 1, 15, 16), "15x16"),
        ((1, 3, 16, 8), "16x8"),
    ],
)
def test_wrong_shapes_are_refused_at_the_door(random_nano, shape, words):
    with pytest.raises(InputError) as error:
        random_nano.encode(random_clip(*shape))
    assert words in str(error.value)


def test_wrong_types_are_refused_at_the_door(random_nano):
    with pytest.raises(InputError, match="must be floating"):
        random_nano.encode(Tensor(np.zeros((1, 3, 16, 16), np.uint8)))
    with pytest.raises(InputError, match="list"):
        random_nano.encode([[0.0]])
    with pytest.raises(InputError, match=r"\(B, 4, T, H, W\)"):
        random_nano.decode(random_clip(1, 16, 1, 2, 2))
    with pytest.raises(InputError, match="seed=-1"):
        random_nano.encode(random_clip(1, 3, 16, 16), seed=-1)


@pytest.mark.parametrize("frames", [0, 5, 1.5, True])
def test_impossible_numbers_of_frames_are_refused(random_nano, frames):
    with pytest.raises(InputError, match="num_target_frames"):
        random_nano.decode(random_clip(1, 4, 2, 2, 2), num_target_frames=frames)


def test_two_names_for_the_number_of_frames_must_agree(random_nano):
    with pytest.raises(InputError, match="disagree"):
        random_nano.decode(random_clip(1, 4, 2, 2, 2), num_target_frames=1, target_num_frames=2)


def test_bf16_on_a_cpu_and_bad_tiles_are_refused():
    with pytest.raises(InputError, match="bf16"):
        TemporalAutoencoder(NANO, dtype="bf16")
    for field, value in (("decode_overlap", 32), ("encode_tile", 12), ("spatial_tile", 0), ("spatial_overlap", -8)):
        with pytest.raises(InputError, match=f"{field}={value}"):
            TemporalAutoencoder(FOUR_LEVELS, **{field: value})


def test_the_shipped_model_loads():
    tae = TemporalAutoencoder.from_default()
    assert tae.config["z_channels"] == 16
    grey = Tensor(np.full((1, 3, 64, 64), 0.2, np.float32))
    recon = tae.decode(tae.encode(grey)[1]).asnumpy()
    assert abs(recon.mean() - 0.2) < 0.05
    assert recon.std() < 0.05


def test_a_still_scene_decodes_to_equal_frames_whatever_the_weights(random_nano):
    """Also the reason why a single latent frame is decoded as one frame and repeated."""
    one = random_clip(1, 4, 1, 3, 2)
    still = Tensor(np.repeat(one.asnumpy(), 2, 2))
    frames = random_nano.decode(still).asnumpy()
    np.testing.assert_allclose(frames, np.repeat(frames[:, :, :1], 4, 2), atol=1e-5)
    np.testing.assert_allclose(random_nano.decode(one).asnumpy(), frames[:, :, :2], atol=1e-5)
