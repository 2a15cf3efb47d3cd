"""The drawn sample clip, and scaling and cropping of frames."""

import numpy as np
import pytest

from mg.data.sample_clip import draw_sample_clip
from mg.data.transforms import CLOSEST, FASTEST, glide, resize_and_crop


def test_the_sample_clip_moves_is_textured_and_always_the_same():
    frames = np.stack(list(draw_sample_clip(frames=4, size=64)))
    assert frames.shape == (4, 64, 64, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames[:1], np.stack([next(draw_sample_clip(frames=4, size=64))]))
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean((1, 2, 3)).min() > 2
    assert np.abs(np.diff(frames.astype(int), axis=2)).mean() > 2
    assert frames.std((0, 1, 2)).min() > 20


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


@pytest.mark.parametrize("seed", range(20))
def test_a_window_glides_straight_and_evenly_inside_the_picture(seed):
    height, width, frames = 24, 16, 9
    rows, columns = np.mgrid[:60, :40].astype(np.uint8)
    picture = np.stack([4 * rows, 6 * columns, 0 * rows], -1)
    clip = glide(picture, frames, height, width, np.random.default_rng(seed))
    assert clip.shape == (frames, height, width, 3)
    for channel, slope, side, window in ((0, 4, 60, height), (1, 6, 40, width)):
        along = clip[..., channel].mean(2 - channel) / slope + 0.5  # (frames, window): places in the picture
        scale = np.polyfit(np.arange(window), along.T, 1)[0]
        centre = along.mean(1)
        first, last = centre - scale * window / 2, centre + scale * window / 2
        assert scale.min() > CLOSEST - 0.02 and scale.max() < 1.02
        assert first.min() > -0.2 and last.max() < side + 0.2
        assert np.abs(np.diff(centre, 2)).max() < 0.2 and np.abs(np.diff(scale, 2)).max() < 0.03
        assert abs(first[-1] - first[0]) < FASTEST * (frames - 1) + 0.2 * window
    assert np.abs(np.diff(clip.astype(int), axis=0)).max() > 0


def test_a_window_as_large_as_the_picture_can_only_zoom():
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    assert glide(picture, 3, 16, 24, np.random.default_rng(1)).shape == (3, 16, 24, 3)


def test_the_same_size_is_left_alone():
    frame = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    np.testing.assert_array_equal(resize_and_crop(frame, 20, 30), frame)
    np.testing.assert_array_equal(resize_and_crop(frame, 20, 20), frame[:, 5:25])
