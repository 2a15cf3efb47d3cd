"""Flicker against closed forms and by degrees."""

import numpy as np
import pytest
from degrade import check_rises, drawn_clip, flickering, noisy, real_clip, score, with_dropped_frames

from mg.metrics.flicker import Flicker


def test_closed_forms():
    clip = drawn_clip(4)
    low = clip // 2 + 20
    np.testing.assert_array_equal(score(Flicker(), clip, clip), [0, 0, 0])
    np.testing.assert_array_equal(score(Flicker(), low, low + 30), [0, 0, 0])
    np.testing.assert_array_equal(score(Flicker(), low, flickering(low, 7)), [7, 7, 7])


def test_it_is_the_difference_of_temporal_differences():
    clip, recon = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 9, 3), np.uint8)
    changes = np.diff(recon.astype(float), axis=0) - np.diff(clip.astype(float), axis=0)
    found = score(Flicker(), clip, recon)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.abs(changes).mean((1, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize(
    "degrade, degrees", [(noisy, (0, 2, 8, 32)), (flickering, (0, 2, 8, 32)), (with_dropped_frames, (0, 1, 3))]
)
def test_it_rises_with_what_is_wrong_in_time(shared, degrade, degrees):
    check_rises(Flicker(), real_clip(shared, 8), degrade, degrees)


def test_a_single_frame_has_no_step():
    clip = drawn_clip(1)
    assert len(score(Flicker(), clip, clip)) == 0
    assert "8-bit levels" in Flicker().about["definition"]
