"""Files that cannot be read: named once, counted, and too many of them end the training."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mg.errors import InputError

logger = logging.getLogger(__name__)

_FEWEST_TRIED = 100


class BadFiles:
    """Keeps which of the `total` files were tried and which of them are bad.

    max_share: the largest share of the files tried that may be bad; judged from a hundred files on, or all there are.
    known: files that were found bad before, which are not reported again. reasons: of each bad file so far.
    """

    def __init__(self, total: int, max_share: float, known: Iterable[str] = ()):
        self._total, self._max_share, self._known = total, max_share, set(known)
        self._tried = set()
        self.reasons: dict[str, str] = {}

    def record(self, outcomes: Iterable[tuple[str, str | None]]) -> dict[str, str]:
        """Take note of (file, why it is bad or None) and return those that are newly found bad.

        Raises InputError when too large a share of the files is bad.
        """
        found = {}
        for file, reason in outcomes:
            if reason is not None and file not in self.reasons:
                self.reasons[file] = reason
                if file not in self._known:
                    logger.warning("cannot be read, another takes its place: %s", reason)
                    found[file] = reason
            self._tried.add(file)
        self._judge()
        return found

    def _judge(self):
        tried, bad = len(self._tried), len(self.reasons)
        enough = tried >= min(_FEWEST_TRIED, self._total)
        if (enough and bad > self._max_share * tried) or bad == self._total:
            raise InputError(
                f"{bad} of the {tried} files that were tried cannot be read ({', '.join(list(self.reasons)[:5])}"
                f"{', …' if bad > 5 else ''}), more than max_bad_share={self._max_share}; repair the files "
                "or take them off the list, check the folder, or raise max_bad_share"
            )
