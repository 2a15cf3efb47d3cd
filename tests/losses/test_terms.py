"""Reconstruction, KL and the outlier penalty against closed forms."""

import mindspore as ms
import numpy as np
import pytest
from conftest import random_clip
from mindspore import Tensor, nn

from mg.losses.kl import kl
from mg.losses.outlier_penalty import outlier_penalty
from mg.losses.reconstruction import chroma, reconstruction, squared_error


class Term(nn.Cell):
    """A term as a graph."""

    def __init__(self, term, *settings):
        super().__init__()
        self.term = term
        self.settings = settings

    def construct(self, *tensors):
        return self.term(*tensors, *self.settings)


def value(term, *arrays, settings=()):
    result = Term(term, *settings)(*[Tensor(np.asarray(a, np.float32)) for a in arrays])
    assert result.dtype == ms.float32 and result.shape == ()
    return float(result)


def test_reconstruction_by_hand():
    clip, recon = np.zeros((2, 3, 2, 1, 2)), np.zeros((2, 3, 2, 1, 2))
    recon[0, 0, 0, 0] = 0.5, -0.25
    clip[1, 2, 1, 0, 1] = 1.0
    assert value(reconstruction, clip, recon) == pytest.approx((0.5 + 0.25 + 1.0) / 4)
    assert value(squared_error, clip, recon) == pytest.approx((0.25 + 0.0625 + 1.0) / 4)


def test_chroma_by_hand():
    clip, recon = np.zeros((2, 3, 2, 1, 2)), np.zeros((2, 3, 2, 1, 2))
    recon[0, :, 0, 0, 0] = 0.5  # grey
    recon[1, 2, 1, 0, 1] = 0.8  # blue
    assert value(chroma, clip, recon) == pytest.approx((0.4**2 + (0.4 * 0.114 / 0.701) ** 2) / 4)


@pytest.mark.parametrize("dtype", [ms.float16, ms.bfloat16])
def test_half_precision_inputs_are_summed_in_fp32(dtype):
    clip = Tensor(np.zeros((1, 3, 1, 256, 256), np.float32))
    recon = Tensor(np.full((1, 3, 1, 256, 256), 0.5, np.float32)).astype(dtype)
    assert float(Term(reconstruction)(clip, recon)) == 0.5 * 3 * 256 * 256  # over the largest fp16
    assert float(Term(squared_error)(clip, recon)) == 0.25 * 3 * 256 * 256


def test_kl_closed_form():
    assert value(kl, np.zeros((1, 4, 2, 3, 3)), np.zeros((1, 4, 2, 3, 3)), settings=(8,)) == 0
    mean, logvar = np.full((1, 4, 2, 3, 3), 2.0), np.full((1, 4, 2, 3, 3), np.log(0.25))
    element = 0.5 * (4 + 0.25 - 1 - np.log(0.25))
    assert value(kl, mean, logvar, settings=(8,)) == pytest.approx(element * 4 * 2 * 9 / (8 * 2), rel=1e-6)


def test_kl_weighs_a_latent_element_of_an_image_as_one_of_a_clip():
    rng = np.random.default_rng(0)
    mean, logvar = rng.standard_normal((2, 2, 4, 1, 3, 3))
    clips = [np.repeat(part, frames, 2) for frames in (1, 5) for part in (mean, logvar)]
    image, clip = value(kl, *clips[:2], settings=(8,)), value(kl, *clips[2:], settings=(8,))
    assert image == pytest.approx(clip, rel=1e-5)


def penalty_in_float64(mean, limit):
    frames = mean.astype(np.float64).transpose(0, 2, 1, 3, 4).reshape(-1, mean.shape[1], *mean.shape[3:])
    totals = []
    for x in frames:
        distance = np.linalg.norm(x - x.mean((1, 2), keepdims=True), axis=0)
        totals.append(np.maximum(distance - limit * np.linalg.norm(x.std((1, 2))), 0).mean())
    return np.mean(totals)


@pytest.mark.parametrize("limit", [0.5, 1.0, 3.0])
def test_outlier_penalty_against_float64(limit):
    mean = np.random.default_rng(0).standard_normal((2, 4, 3, 6, 5)).astype(np.float32)
    mean[1, :, 2, 4, 1] = 40.0
    expected = penalty_in_float64(mean, limit)
    assert expected > 0
    assert value(outlier_penalty, mean, settings=(limit,)) == pytest.approx(expected, rel=1e-5)


def test_outlier_penalty_by_hand():
    """One pixel of 16 is 16 in both of two channels: mean 1, variance 15 each; the other frame has no outlier."""
    mean = np.zeros((1, 2, 2, 4, 4))
    mean[0, :, 0, 2, 3] = 16.0
    outlier = np.sqrt(2 * 15.0**2) - 3 * np.sqrt(2 * 15.0)
    assert value(outlier_penalty, mean) == pytest.approx(outlier / 16 / 2, rel=1e-5)


def test_outlier_penalty_of_equal_latents_is_zero_with_zero_gradient():
    flat = Tensor(np.full((1, 4, 2, 3, 3), 0.7, np.float32))
    result, gradient = ms.value_and_grad(Term(outlier_penalty))(flat)
    assert float(result) == 0
    np.testing.assert_array_equal(gradient.asnumpy(), 0)


@pytest.mark.parametrize("term, settings", [(reconstruction, ()), (squared_error, ()), (chroma, ()), (kl, (8,))])
def test_gradients_against_finite_differences(term, settings):
    x, y = random_clip(1, 3, 2, 4, 4, seed=1), random_clip(1, 3, 2, 4, 4, seed=2)
    check_gradient(Term(term, *settings), x, y)


def test_outlier_penalty_gradient_against_finite_differences_in_float64():
    mean = random_clip(1, 3, 2, 4, 4).asnumpy()
    mean[0, :, 1, 2, 2] = 8.0
    direction = np.random.default_rng(5).standard_normal(mean.shape)
    ends = [penalty_in_float64(mean + sign * 1e-6 * direction, 1.0) for sign in (1, -1)]
    gradient = ms.grad(Term(outlier_penalty, 1.0))(Tensor(mean)).asnumpy()
    assert np.sum(gradient * direction) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def check_gradient(term, *tensors, step=1e-2):
    """The slope along a random direction, of the first tensor, equals what the gradient says."""
    gradient = ms.grad(term, 0)(*tensors).asnumpy()
    direction = np.random.default_rng(5).standard_normal(gradient.shape).astype(np.float32)
    first, rest = tensors[0].asnumpy(), tensors[1:]
    ends = [float(term(Tensor(first + sign * step * direction), *rest)) for sign in (1, -1)]
    assert np.sum(gradient * direction) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-2)
