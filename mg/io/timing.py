"""When the frames of a video are shown, from their times in the file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from math import ceil

import numpy as np

NO_STAMP = np.iinfo(np.int64).min
# What the times of a file are: of showing; likewise, but of recordings that may be joined; of decoding.
STEADY, RESTARTS, DECODING = "steady", "restarts", "decoding"
LONGEST_GAP = 10  # seconds; a longer one where clocks may start anew is a new recording
_FINE = 10  # ticks a frame


@dataclass(frozen=True)
class Timing:
    """times: when each frame begins to be shown, in seconds from the first on, and last when the last one ends.

    even: whether that is a constant rate; times are exact then, not rounded to the file's clock.
    """

    times: tuple[Fraction, ...]
    even: bool

    @property
    def frames(self) -> int:
        return len(self.times) - 1

    @property
    def fps(self) -> Fraction:
        """Frames a second, in the mean if they vary."""
        fps = self.frames / self.times[-1]
        return fps if self.even else fps.limit_denominator(1_000_000)

    def shown_at(self, fps: Fraction, start: Fraction = Fraction(0), most: int | None = None) -> list[int]:
        """Numbers of the frames that are shown at start + k / fps seconds, for k = 0, 1, ... until the last one ends.

        most: how many numbers at most.
        """
        count = max(0, ceil((self.times[-1] - start) * fps))
        count = count if most is None else min(count, most)
        return [bisect_right(self.times, start + k / fps, hi=self.frames) - 1 for k in range(count)]


def even_timing(frames: int, fps: Fraction) -> Timing:
    """Of a constant rate."""
    return Timing(tuple(number / fps for number in range(frames + 1)), True)


def timing_of(
    stamps: np.ndarray, last: int, tick: Fraction, rates: Iterable[Fraction], clock: str = STEADY
) -> Timing | None:
    """Timing of frames with these times, (N,) int64 in ticks; NO_STAMP where there is none. last: ticks of the last
    frame, 0 if unknown.

    Times that are even but for rounding to the file's clock come as even ones, at the first of `rates` that fits, or
    at their mean rate. Times out of order are those of packets, and are put in order. clock: RESTARTS: where a time is
    not after the one before, or long after it, another recording begins, one typical frame later. DECODING: times may
    be a tick too late, since frames wait for others that are shown later. Times that are all one, which some writers
    leave, are none. None if neither times nor rates are there.
    """
    rates = [Fraction(rate) for rate in rates if rate]
    if (stamps == NO_STAMP).any():
        return even_timing(len(stamps), rates[0]) if rates else None
    steps = np.diff(stamps if clock == RESTARTS else np.sort(stamps))
    forward = (steps > 0) & (steps <= int(LONGEST_GAP / tick)) if clock == RESTARTS else steps >= 0
    stands = clock != RESTARTS and len(steps) > 0 and not steps.any()  # all frames at one time say nothing of a rate
    typical = int(np.median(steps[steps > 0])) if (steps > 0).any() else 0 if stands else last
    if typical <= 0:
        return even_timing(len(stamps), rates[0]) if rates else None
    last = last if 4 * last > typical else typical  # a duration of nothing is none
    ticks = [0, *accumulate(np.where(forward, steps, typical).tolist()), 0]
    ticks[-1] = ticks[-2] + last
    if len(stamps) > 1:
        rates.append(((len(stamps) - 1) / (ticks[-2] * tick)).limit_denominator(1001))
    for fps in rates:
        if _is_even(ticks[:-1], tick, fps, clock == DECODING):
            return even_timing(len(stamps), fps)
    return Timing(tuple(time * tick for time in ticks), False)


def _is_even(ticks: Sequence[int], tick: Fraction, fps: Fraction, late: bool) -> bool:
    """Whether every time is that of its frame but for rounding, which writers do twice where a clock is fine."""
    step = 1 / (fps * tick)  # ticks a frame
    top, bottom = step.numerator, step.denominator
    slack = 2 * bottom if step >= _FINE or late else bottom
    return all(abs(time * bottom - number * top) < slack for number, time in enumerate(ticks))
