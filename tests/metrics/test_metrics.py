"""PSNR and SSIM against scikit-image and closed forms."""

import numpy as np
import pytest

from mg.io.video import read_frames
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
