"""Being asked to stop."""

from __future__ import annotations

import logging
import signal

logger = logging.getLogger(__name__)


class Stop:
    """Notes SIGINT and SIGTERM while its block runs, so that a step can end first; a second one interrupts at once."""

    def __init__(self):
        self.asked = False
        self._before = {}

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        logger.info("%s: saving after this step", signal.Signals(number).name)
