"""The drawn sample clip, and the file of it that ships with the package."""

import sys
from itertools import islice

import numpy as np
from conftest import ROOT

from mg.io.clip import open_clip

sys.path.insert(0, str(ROOT / "tools"))
from draw_sample_clip import FPS, FRAMES, SIZE, draw_sample_clip


def test_the_sample_clip_moves_is_textured_and_always_the_same():
    frames = np.stack(list(draw_sample_clip(frames=4, size=64)))
    assert frames.shape == (4, 64, 64, 3)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames[:1], np.stack([next(draw_sample_clip(frames=4, size=64))]))
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean((1, 2, 3)).min() > 2
    assert np.abs(np.diff(frames.astype(int), axis=2)).mean() > 2
    assert frames.std((0, 1, 2)).min() > 20


def test_the_file_that_ships_holds_what_is_drawn():
    clip = open_clip(ROOT / "mg" / "inference" / "sample_clip.mp4")
    assert (clip.fps, clip.size, clip.total) == (FPS, (SIZE, SIZE), FRAMES)
    shipped = np.stack(list(clip.frames)).astype(int)
    assert len(shipped) == FRAMES
    drawn = np.stack(list(islice(draw_sample_clip(), 2)))
    assert np.abs(shipped[:2] - drawn).mean() < 2
