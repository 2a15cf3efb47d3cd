import numpy as np
from conftest import random_clip
from mindspore import Tensor

from mg.models.latents import draw_noise, sample, split_moments


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
