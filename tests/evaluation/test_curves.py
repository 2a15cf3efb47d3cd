"""Means of scores by frame and by position in a latent frame, and their picture."""

import numpy as np
import pytest

from mg.evaluation.curves import Curves
from mg.io.image import read_image


def test_means_and_deviations_over_the_clips_that_have_a_frame():
    curves = Curves(["psnr", "flicker"], 2)
    curves.add(np.array([[20.0, np.nan], [30.0, 1.0], [40.0, 3.0]]))
    curves.add(np.array([[30.0, np.nan]]))
    mean, deviation = curves.by_frame()
    np.testing.assert_allclose(mean[:, 0], [25, 30, 40])
    np.testing.assert_allclose(deviation[:, 0], [5, 0, 0])
    assert np.isnan(mean[0, 1])
    assert mean[1:, 1].tolist() == [1, 3]
    by_position, _ = curves.by_position()
    np.testing.assert_allclose(by_position, [[30, 3], [30, 1]])


@pytest.mark.parametrize("frames, group", [(2, 8), (100, 8), (100, None)])
def test_the_picture(tmp_path, frames, group):
    curves = Curves(["psnr", "ssim"], group)
    for clip in range(2):
        curves.add(np.stack([30.0 + np.arange(frames) % 8 + clip, np.linspace(0.8, 0.9, frames)], 1))
    curves.draw(tmp_path / "curves.png")
    assert read_image(tmp_path / "curves.png").std() > 5


def test_images_alone_have_no_curves(tmp_path):
    curves = Curves(["psnr"], 8)
    curves.add(np.array([[30.0]]))
    curves.draw(tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())
