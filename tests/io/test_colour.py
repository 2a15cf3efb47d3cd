"""Luma and chroma against OpenCV, and colours that are turned."""

import cv2
import numpy as np

from mg.io.colour import luma_chroma, red_green_blue, turn_colours


def frame():
    return np.random.default_rng(0).integers(60, 196, (16, 24, 3), np.uint8)


def test_luma_and_chroma_are_those_of_jpeg():
    found = np.stack(luma_chroma(*np.moveaxis(frame().astype(np.float64), -1, 0)), -1) + [0, 128, 128]
    expected = cv2.cvtColor(frame(), cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    np.testing.assert_allclose(found, expected, atol=1.0)


def test_there_and_back_is_the_same():
    channels = np.moveaxis(frame().astype(np.float64), -1, 0)
    np.testing.assert_allclose(red_green_blue(*luma_chroma(*channels)), channels, atol=1e-9)
    np.testing.assert_array_equal(turn_colours(frame(), 0.0, 1.0), frame())


def test_without_strength_all_channels_are_the_luma():
    grey = turn_colours(frame(), 1.0, 0.0)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 1])
    np.testing.assert_array_equal(grey[..., 1], grey[..., 2])
    np.testing.assert_allclose(grey[..., 0], luma_chroma(*np.moveaxis(frame().astype(float), -1, 0))[0], atol=0.51)


def test_half_a_turn_changes_the_sign_of_chroma_and_leaves_luma():
    muted = turn_colours(frame(), 0.0, 0.3)  # so that nothing clips
    before, after = (np.stack(luma_chroma(*np.moveaxis(turn_colours(muted, a, 1.0) / 1.0, -1, 0))) for a in (0, np.pi))
    np.testing.assert_allclose(after[0], before[0], atol=1)
    np.testing.assert_allclose(after[1:], -before[1:], atol=1)
