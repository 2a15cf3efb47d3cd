"""Scaling and cropping of frames, and windows that glide over a picture."""

import numpy as np
import pytest

from mg.io.frames import CLOSEST, FASTEST, glide, resize_and_crop


@pytest.mark.parametrize("source", [(40, 40), (30, 60), (61, 37), (10, 90)])
@pytest.mark.parametrize("wanted", [(40, 40), (16, 48), (80, 80)])
def test_resize_and_crop_gives_the_size_and_keeps_the_centre_and_the_aspect(source, wanted):
    y, x = np.mgrid[: source[0], : source[1]] + 0.5
    radius = np.hypot(y - source[0] / 2, x - source[1] / 2) / min(source)
    frame = np.repeat((radius < 0.25)[..., None] * np.uint8(255), 3, -1)
    out = resize_and_crop(frame, *wanted)
    assert out.shape == (*wanted, 3)
    disc = np.argwhere(out[..., 0] > 127)
    centre = (disc.min(0) + disc.max(0)) / 2
    assert np.abs(centre - (np.array(wanted) - 1) / 2).max() <= 2


def window_along(clip, channel, slope):
    """First edge, last edge and scale of the window in each frame, along rows (channel 0) or columns (1) of a ramp."""
    along = clip[..., channel].mean(2 - channel) / slope + 0.5
    window = along.shape[1]
    scale = np.polyfit(np.arange(window), along.T, 1)[0]
    return along.mean(1) - scale * window / 2, along.mean(1) + scale * window / 2, scale


def ramp(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([2 * rows, 2 * columns, 0 * rows], -1).astype(np.uint8)


@pytest.mark.parametrize("seed", range(20))
def test_a_window_glides_straight_and_evenly_inside_the_picture(seed):
    height, width, frames = 24, 16, 9
    clip = glide(ramp(120, 110), frames, height, width, np.random.default_rng(seed))
    assert clip.shape == (frames, height, width, 3)
    for channel, side in ((0, 120), (1, 110)):
        first, last, scale = window_along(clip, channel, 2)
        assert scale.min() > CLOSEST - 0.05 and scale.max() < 1.05
        assert first.min() > -0.6 and last.max() < side + 0.6
        assert np.abs(np.diff(first + last, 2)).max() < 0.8 and np.abs(np.diff(scale, 2)).max() < 0.1
        assert abs(first[-1] - first[0]) < FASTEST * (frames - 1) + 1
    assert np.abs(np.diff(clip.astype(int), axis=0)).max() > 0


def test_windows_move_and_zoom_as_far_as_they_may():
    clips = [glide(ramp(120, 110), 5, 24, 16, np.random.default_rng(seed)) for seed in range(100)]
    ways = [abs(np.diff(window_along(clip, 0, 2)[0][[0, -1]])[0]) for clip in clips]
    zooms = [abs(np.diff(window_along(clip, 0, 2)[2][[0, -1]])[0]) for clip in clips]
    assert 0.8 * FASTEST * 4 < max(ways) < FASTEST * 4 + 1
    assert 0.1 < max(zooms) < 0.25


def test_a_window_as_large_as_the_picture_stays_in_it():
    for seed in range(20):
        clip = glide(ramp(32, 48), 3, 32, 48, np.random.default_rng(seed))
        for channel, side in ((0, 32), (1, 48)):
            first, last, scale = window_along(clip, channel, 2)
            assert first.min() > -0.6 and last.max() < side + 0.6 and scale.max() < 1.05


def test_two_frames_are_close_to_each_other():
    for seed in range(20):
        clip = glide(ramp(120, 110), 2, 64, 64, np.random.default_rng(seed))
        for edges in window_along(clip, 0, 2)[:2]:
            assert abs(edges[1] - edges[0]) < 2 * FASTEST + 1


def test_very_long_pictures_can_be_glided_over():
    picture = np.zeros((16, 40000, 3), np.uint8)
    assert glide(picture, 3, 16, 16, np.random.default_rng(0)).shape == (3, 16, 16, 3)


def test_the_same_size_is_left_alone():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(resize_and_crop(frame, 20, 30), frame)
    np.testing.assert_array_equal(resize_and_crop(frame, 20, 20), frame[:, 5:25])
