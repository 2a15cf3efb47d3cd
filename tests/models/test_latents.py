"""What raw output means: moments and codes, drawn, stored and restored; factors."""

import numpy as np
import pytest
from conftest import random_clip
from mindspore import Tensor

from mg.errors import InputError
from mg.models.latents import Codes, Factors, Gaussian, draw_noise, sample, split_moments


def test_split_moments_clamps_the_log_variance_once():
    moments = np.zeros((1, 2, 1, 1, 3), np.float32)
    moments[0, 0] = [1, 2, 3]
    moments[0, 1] = [-100, 5, 100]
    mean, logvar = split_moments(Tensor(moments))
    assert mean.asnumpy().ravel().tolist() == [1, 2, 3]
    assert logvar.asnumpy().ravel().tolist() == [-30, 5, 20]


def test_sample_is_mean_plus_standard_deviation_times_noise():
    mean, noise = random_clip(1, 2, 3), random_clip(1, 2, 3, seed=1)
    logvar = Tensor(np.full((1, 2, 3), 2 * np.log(0.5), np.float32))
    np.testing.assert_allclose(sample(mean, logvar, noise).asnumpy(), mean.asnumpy() + 0.5 * noise.asnumpy(), atol=1e-6)


def test_noise_of_a_clip_in_pieces_equals_noise_of_the_whole():
    whole = draw_noise((2, 3, 5, 4, 4), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    pieces = [draw_noise((2, 3, frames, 4, 4), rng) for frames in (1, 3, 1)]
    np.testing.assert_array_equal(whole, np.concatenate(pieces, 2))
    assert abs(whole.mean()) < 0.2
    assert abs(whole.std() - 1) < 0.2


@pytest.fixture
def moments():
    """Raw output of a Gaussian family: two channels, three latent frames."""
    return np.random.default_rng(0).standard_normal((2, 4, 3, 2, 2)).astype(np.float32)


def test_a_gaussian_decodes_its_mean_or_a_sample_that_generators_decide(moments):
    kind, (mean, logvar) = Gaussian(), np.split(moments, 2, 1)
    assert kind.named(moments).keys() == set(kind.outputs)
    np.testing.assert_array_equal(kind.decoded(moments), mean)
    noise = draw_noise(mean.shape, np.random.default_rng(1))
    expected = mean + np.exp(0.5 * logvar) * noise
    for z in (kind.decoded(moments, np.random.default_rng(1)), kind.answer(moments, np.random.default_rng(1))[0]):
        np.testing.assert_allclose(z, expected, atol=1e-6)
    each = kind.decoded(moments, [np.random.default_rng(5)])  # one clip's, and what a batch is filled up with
    for index in range(2):
        alone = kind.decoded(moments[index : index + 1], np.random.default_rng(5))
        np.testing.assert_array_equal(each[index : index + 1], alone)


def test_a_gaussian_has_no_codes(moments):
    kind = Gaussian()
    assert kind.integers(moments) is None and kind.vocabulary is None and kind.counted is None
    assert Codes(6).vocabulary == 64 and Codes(6).counted in Codes(6).outputs


def test_what_a_gaussian_stores_is_what_it_decodes_again(moments):
    kind, (mean, logvar) = Gaussian(), np.split(moments, 2, 1)
    assert set(kind.drawn_as) < set(kind.stored_as)
    posterior, drawn = (kind.stored(moments, name, np.random.default_rng(1)) for name in kind.stored_as)
    np.testing.assert_allclose(posterior["std"], np.exp(0.5 * logvar))
    np.testing.assert_array_equal(kind.restored(posterior), mean)
    np.testing.assert_array_equal(kind.restored(drawn), kind.decoded(moments, np.random.default_rng(1)))
    with pytest.raises(InputError, match="holds codes, but this model decodes mean or z"):
        kind.restored({"codes": mean})


def test_codes_are_signs_whose_first_channel_is_the_most_significant_bit():
    kind, raw = Codes(3), np.array([0.5, -2, 0], np.float32).reshape(1, 3, 1, 1, 1)
    z, integers = kind.answer(raw, None)
    assert z.ravel().tolist() == [1, -1, -1] and z.dtype == np.float32
    assert integers.shape == (1, 1, 1, 1) and integers.dtype == np.int32 and integers.item() == 4
    every = np.arange(8, dtype=np.int32).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(kind.integers(kind.signs(every)), every)
    np.testing.assert_array_equal(kind.named(raw)["codes"], z)
    assert not kind.drawn_as
    stored = kind.stored(raw, "codes", None)["codes"]
    assert stored.shape == (1, 1, 1, 1, 1) and stored.dtype == kind.dtype
    np.testing.assert_array_equal(kind.restored({"codes": stored}), z)
    with pytest.raises(InputError, match="holds mean and std, but this model decodes codes"):
        kind.restored({"mean": z, "std": z})


@pytest.mark.parametrize(
    "wrong", [np.int32([[[8]]]), np.int32([[[-1]]]), np.float32([[[1]]]), np.zeros((0, 1, 1), int)]
)
def test_what_is_no_code_is_refused(wrong):
    with pytest.raises(InputError, match="whole numbers from 0 to 7"):
        Codes(3).signs(np.asarray(wrong))


def test_factors_are_numbers_or_one_for_each_channel():
    z = np.ones((1, 2, 3, 4, 4), np.float32)
    assert Factors().scale(z) is not z and (Factors().scale(z) == z).all()
    assert (Factors(2.0, 0.5).scale(z) == 1).all()
    each = Factors((2.0, 4.0), (0.5, 2.0))
    assert each.scale(z)[0, :, 0, 0, 0].tolist() == [1, -4]
    np.testing.assert_array_equal(each.scale(z[0]), each.scale(z)[0])
    np.testing.assert_array_equal(each.scale(z[:, :, 0], images=True), each.scale(z)[:, :, 0])
    np.testing.assert_array_equal(each.scale(Tensor(z)).asnumpy(), each.scale(z))
    np.testing.assert_array_equal(each.unscale(each.scale(z)), z)
    with pytest.raises(InputError, match="have no 2 channels"):
        each.scale(z[:, :1])
