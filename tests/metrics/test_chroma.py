"""Chroma against closed forms and by hand."""

import numpy as np
import pytest
from degrade import drawn_clip, score

from mg.metrics.chroma import Chroma, ChromaPeak


def grey(frames=2, level=100):
    return np.full((frames, 10, 20, 3), level, np.uint8)


@pytest.mark.parametrize("metric, figures", [(Chroma(), 4), (ChromaPeak(), 1)])
def test_what_differs_in_luma_alone_counts_nothing(metric, figures):
    clip = drawn_clip(4) // 2
    found = score(metric, clip, clip + 30)
    assert found.shape == (figures,) and found.dtype == np.float64
    np.testing.assert_allclose(found, 0, atol=1e-5)


def test_the_mean_is_of_both_differences_and_every_frame():
    clip, recon = grey(), grey()
    recon[1, ..., 2] += 20  # blue: Cb by half of it, Cr by -0.5 * 0.114 / 0.701 of it
    expected = (0.5 + 0.5 * 0.114 / 0.701) * 20
    np.testing.assert_allclose(score(Chroma(), clip, recon), [0, expected], rtol=1e-5)


def test_the_peak_sees_what_the_mean_hides():
    clip, recon = grey(5), grey(5)
    recon[4, 3, 0, 0] += 60  # one pixel of a thousand: no more than what may exceed the peak
    assert score(Chroma(), clip, recon).max() < 0.3
    np.testing.assert_allclose(score(ChromaPeak(), clip, recon), [0])
    recon[4, 3, 1, 0] += 60
    np.testing.assert_allclose(score(ChromaPeak(), clip, recon), [0.5 * 60 * (1 + 0.299 / 0.886)], atol=0.006)


def test_what_is_measured_is_said():
    assert "BT.601" in Chroma().about["definition"]
    assert "99.9th percentile" in ChromaPeak().about["definition"]
