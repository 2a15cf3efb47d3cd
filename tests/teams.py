"""Ranks without `msrun`: threads of which one runs at a time, until all meet in an exchange."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from mg.models.tiling.team import Team


class Meeting:
    """Where so many ranks exchange what they have; `sizes` is how many numbers each time."""

    def __init__(self, ranks: int):
        self.rows, self.sizes = [np.empty(0)] * ranks, []
        self.turn, self.met = threading.Lock(), threading.Barrier(ranks, timeout=60)

    def exchange(self, rank: int, numbers: np.ndarray) -> np.ndarray:
        """(n,) of each rank -> (ranks, n); a collective takes as many of each, and fp32."""
        assert numbers.dtype == np.float32 and numbers.ndim == 1
        self.rows[rank] = numbers.copy()
        self.turn.release()
        try:
            self.met.wait()
            rows = np.stack(self.rows)
            if self.met.wait() == 0:
                self.sizes.append(len(numbers))
        finally:
            self.turn.acquire()
        return rows


def together(ranks: int, work: Callable[[Team], Any], rows: bool = False) -> tuple[list[Any], Meeting]:
    """What `work(team)` gives on each rank, or the exception that it raises; and where they met."""
    meeting, answers = Meeting(ranks), [None] * ranks

    def one(rank: int) -> None:
        with meeting.turn:
            try:
                answers[rank] = work(Team(rank, ranks, lambda numbers: meeting.exchange(rank, numbers), rows))
            except Exception as error:
                answers[rank] = error
                meeting.met.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, meeting
