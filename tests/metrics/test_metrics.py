"""PSNR and SSIM against scikit-image and closed forms."""

import degrade as degraded
import numpy as np
import pytest

from mg.io.video import read_frames
from mg.metrics.metric import PerFrame
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim


def noisy(frame, sigma, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, frame.shape)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


@pytest.fixture
def frame():
    y, x = np.mgrid[:60, :80]
    waves = [127 + 100 * np.sin(x / (5 + c) + y / (9 - c)) for c in range(3)]
    return np.rint(np.stack(waves, -1)).astype(np.uint8)


def check_agreement(a, b):
    metrics = pytest.importorskip("skimage.metrics")
    assert psnr(a, b) == pytest.approx(metrics.peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)
    expected = metrics.structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("sigma", [1, 10, 60])
def test_agreement_with_scikit_image(frame, sigma):
    check_agreement(frame, noisy(frame, sigma))


def test_agreement_with_scikit_image_on_a_real_clip(shared):
    frames = list(read_frames(shared / "data" / "clips" / "vidtok_256x256.mp4"))
    check_agreement(frames[0], frames[20])


def test_closed_forms(frame):
    dark, light = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), 110, np.uint8)
    assert psnr(dark, light) == pytest.approx(20 * np.log10(255 / 10))
    c1 = (0.01 * 255) ** 2
    assert ssim(dark, light) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))
    assert psnr(frame, frame) == 100
    assert ssim(frame, frame) == pytest.approx(1)


def test_more_noise_is_worse(frame):
    levels = [noisy(frame, sigma) for sigma in (1, 4, 16, 64)]
    for metric in (psnr, ssim):
        scores = [metric(frame, level) for level in levels]
        assert scores == sorted(scores, reverse=True)
        assert len(set(scores)) == 4


@pytest.mark.parametrize("function", [psnr, ssim])
@pytest.mark.parametrize(
    "degrade, degrees",
    [(degraded.noisy, (2, 8, 32)), (degraded.blurred, (0.3, 0.6, 1.2)), (degraded.flickering, (2, 8, 32))]
    + [(degraded.with_dropped_frames, (1, 3))],
)
def test_they_fall_as_a_real_clip_gets_worse(shared, function, degrade, degrees):
    clip = degraded.real_clip(shared, 8)
    metric = PerFrame("metric", function, "")
    figures = [degraded.score(metric, clip, degrade(clip, degree)).mean() for degree in (*degrees,)]
    best = degraded.score(metric, clip, clip).mean()
    assert [best, *figures] == sorted([best, *figures], reverse=True)
    assert len({best, *figures}) == 1 + len(degrees)
