"""Times that say nothing of a rate."""

from fractions import Fraction

import numpy as np
import pytest

from mg.io.timing import DECODING, NO_STAMP, STEADY, timing_of

TICK = Fraction(1, 15360)


@pytest.mark.parametrize("clock", [STEADY, DECODING])
@pytest.mark.parametrize("stamp", [0, 7, NO_STAMP])
def test_frames_that_share_one_time_have_the_rate_that_the_file_says(clock, stamp):
    stamps = np.full(72, stamp, np.int64)
    timing = timing_of(stamps, 512, TICK, [Fraction(30)], clock)
    assert timing.even and timing.fps == 30 and timing.frames == 72
    assert timing_of(stamps, 512, TICK, [], clock) is None


def test_one_frame_lasts_as_long_as_it_says():
    assert timing_of(np.zeros(1, np.int64), 512, TICK, []).times == (0, 512 * TICK)
