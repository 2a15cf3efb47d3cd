"""How far work is: bars on a terminal; elsewhere, such as in a file, now and then a line of the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

_SECONDS = 10  # between two lines
_LINE = "{desc}{n_fmt} of {total_fmt} {unit}s, {elapsed} so far, about {remaining} left{postfix}"


def show_progress(*arguments: Any, **settings: Any) -> tqdm:
    """tqdm with the rate since the work got going, by which it estimates what is left; arguments are tqdm's."""
    settings = {"smoothing": 0, **settings}
    if settings.get("disable") or (sys.stderr is not None and sys.stderr.isatty()):
        return _Bar(*arguments, **settings)
    return _Lines(*arguments, **settings)


def say(what: str, frames: int = 0) -> None:
    """Add what the work is at to the innermost bar that there is: a window of large frames takes long.

    frames: of a clip, that are computed, even if they are not handed out before the next window is.
    """
    bars = [bar for bar in list(tqdm._instances) if isinstance(bar, _Bar)]
    if bars:
        max(bars, key=lambda bar: abs(bar.pos)).tell(what, frames)


class _Nowhere:
    """Takes what tqdm would write to a terminal."""

    def write(self, text: str) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""


class _Bar(tqdm):
    """A bar whose rate is of what was done after the first piece was there: until then, graphs were compiled."""

    begun: tuple[int, float] | None = None  # what was done by when, at first
    computed = 0  # frames, those among them that wait for the next window
    counts_computed = True  # False where more is done with them afterwards

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self._begin()
            yield item

    def update(self, n: float | None = 1) -> bool | None:
        """Count what is done."""
        shown = super().update(n)
        self._begin()
        return shown

    def tell(self, what: str, frames: int) -> None:
        """Say what the work is at, in a line if the last one was long ago."""
        if self.unit == "frame" and self.counts_computed:
            self.computed = max(self.computed, frames)
        self.set_postfix_str(what, refresh=False)
        if (now := self._time()) - self.last_print_t >= self.mininterval / 2:  # the next tile may end much later
            self.last_print_t = now
            self.refresh()

    @property
    def format_dict(self) -> dict[str, Any]:
        """What is shown."""
        told = super().format_dict
        if self.begun is not None:
            told["n"] = self._done()
            if told["n"] > self.begun[0]:
                told["rate"] = (told["n"] - self.begun[0]) / max(time.monotonic() - self.begun[1], 1e-9)
        return told

    def _done(self) -> int:
        done = getattr(self, "n", 0)
        return max(done, self.computed if self.total is None else min(self.computed, self.total))

    def _begin(self) -> None:
        if self.begun is None:
            self.begun = self._done(), time.monotonic()


class _Lines(_Bar):
    """A bar that logs a line instead: nothing before _SECONDS have gone by."""

    def __init__(self, *arguments: Any, **settings: Any):
        seconds = {"mininterval": _SECONDS, "maxinterval": _SECONDS}
        super().__init__(*arguments, **{**settings, **seconds, "file": _Nowhere(), "bar_format": _LINE, "delay": 1})
        self.set_description(settings.get("desc"))  # which adds a colon

    def display(self, *_position: Any, **_text: Any) -> None:
        """Log how far it is."""
        if self.n < (self.total or 0):
            logger.info("%s", self)

    def set_description(self, desc: str | None = None, refresh: bool = True) -> None:
        """Name the work, which is not worth a line."""
        super().set_description(desc, refresh=False)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Add to what is said, which is not worth a line."""
        super().set_postfix_str(s, refresh=False)
