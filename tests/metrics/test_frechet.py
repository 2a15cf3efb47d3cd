"""The Frechet distance against closed forms, and streamed moments against NumPy's."""

import logging

import numpy as np
import pytest

from mg.errors import InputError
from mg.metrics.frechet import Moments, distance_of_sets, frechet_distance


def rotation(d, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def moments_of(*pieces):
    moments = Moments()
    for piece in pieces:
        moments.add(piece)
    return moments


def exact_set(mean, covariance, n, seed=0):
    """n samples whose mean and covariance are exactly those given, up to rounding."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean + white @ np.linalg.cholesky(covariance).T


@pytest.mark.parametrize("sizes", [(7,), (3, 1, 20), (1,) * 9, (0, 5, 0, 5)])
@pytest.mark.parametrize("offset", [0, 1e6])
def test_moments_in_pieces_are_those_of_the_whole(sizes, offset):
    rng = np.random.default_rng(1)
    pieces = [offset + rng.standard_normal((n, 6)) for n in sizes]
    whole, moments = np.concatenate(pieces), moments_of(*pieces)
    assert moments.count == len(whole)
    np.testing.assert_allclose(moments.mean, whole.mean(0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(moments.covariance(), np.cov(whole, rowvar=False), atol=1e-9 if offset else 1e-14)


def test_known_gaussians_in_one_dimension():
    distance = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([4.0]), np.array([[25.0]]))
    assert distance == pytest.approx((4 - 1) ** 2 + (5 - 2) ** 2, rel=1e-14)


def test_commuting_covariances():
    turn, rng = rotation(20), np.random.default_rng(2)
    a, b = rng.uniform(0.1, 9, 20), rng.uniform(0.1, 9, 20)
    mean_a, mean_b = rng.standard_normal((2, 20))
    expected = ((mean_a - mean_b) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    found = frechet_distance(mean_a, (turn * a) @ turn.T, mean_b, (turn * b) @ turn.T)
    assert found == pytest.approx(expected, rel=1e-12)


def test_covariances_that_do_not_commute():
    """In two dimensions tr sqrt(AB) = sqrt(tr AB + 2 sqrt(det AB)), by Cayley and Hamilton."""
    a, b = np.array([[5.0, 2], [2, 1]]), np.array([[1.0, -0.5], [-0.5, 3]])
    assert not np.allclose(a @ b, b @ a)
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    assert frechet_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(expected, rel=1e-12)


def test_rank_deficient_covariances():
    """Lines along u and v: tr sqrt(uu' vv') = |u'v|. No eigenvalue of either may become a NaN, nor cost digits."""
    u, v = np.random.default_rng(3).standard_normal((2, 50))
    expected = u @ u + v @ v - 2 * abs(u @ v)
    zero = np.zeros(50)
    assert frechet_distance(zero, np.outer(u, u), zero, np.outer(v, v)) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(zero, np.zeros((50, 50)), zero, np.outer(v, v)) == pytest.approx(v @ v, rel=1e-12)
    assert frechet_distance(zero, np.zeros((50, 50)), zero + 1, np.zeros((50, 50))) == 50


@pytest.mark.parametrize("samples", [10, 300])
def test_equal_sets_are_at_distance_zero_and_a_shift_is_its_square(samples):
    x = np.random.default_rng(4).standard_normal((samples, 100)).astype(np.float32)
    assert distance_of_sets([np.stack([x, x])], "fid") < 1e-10
    shifted = x.astype(np.float64) + 0.5
    assert distance_of_sets([np.stack([x, shifted])], "fid") == pytest.approx(0.25 * 100, rel=1e-9)


def test_sets_of_known_gaussians_clip_by_clip():
    turn = rotation(8)
    a, b = np.arange(1, 9.0), np.arange(8, 0.0, -1)
    x = exact_set(np.zeros(8), (turn * a) @ turn.T, 60)
    y = exact_set(np.ones(8), (turn * b) @ turn.T, 60, seed=1)
    clips = (np.stack([x[k : k + 12], y[k : k + 12]]) for k in range(0, 60, 12))
    expected = 8 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert distance_of_sets(clips, "fid") == pytest.approx(expected, rel=1e-10)


def test_agreement_with_the_matrix_root_of_scipy():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((2, 90, 30)) @ rng.standard_normal((30, 30))
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert distance_of_sets([np.stack([x, y])], "fid") == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_dimensions_are_warned_of(caplog):
    x = np.random.default_rng(6).standard_normal((2, 12, 11))
    with caplog.at_level(logging.WARNING):
        distance_of_sets([x], "fvd")
        assert not caplog.records
        distance_of_sets([x[:, :11]], "fvd")
    assert "fvd: 11 samples for 11 dimensions" in caplog.text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    x = np.ones((2, 4, 3))
    x[1, 2, 0] = value
    with pytest.raises(InputError, match="not finite"):
        distance_of_sets([x], "fid")


@pytest.mark.parametrize("clips", [[], [np.ones((2, 1, 3))], [np.ones((2, 0, 3))]])
def test_fewer_than_two_samples_are_refused(clips):
    with pytest.raises(InputError, match="at least 2 samples"):
        distance_of_sets(clips, "fid")
