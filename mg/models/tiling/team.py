"""Processes that compute one clip together: each some of its parts, and all are given all of them, in one order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from typing import Protocol, TypeVar

import numpy as np

from mg.errors import InputError, OutputError

_FAILED, _LONGEST = 1, 500  # what ranks tell each other: see `_told`
_EXACT = 2**24  # fp32 holds all whole numbers below


class Part(Protocol):
    """What one rank computes at once. last: whether it is the last one of its window."""

    last: bool

    def compute(self) -> np.ndarray:
        """The result, fp32; asked for before the next part is taken, or not at all."""


AnyPart = TypeVar("AnyPart", bound=Part)


@dataclass(frozen=True)
class Team:
    """Process `rank` of `ranks` that make the same calls with the same clips, each for all of the results.

    exchange: a collective, which takes fp32 numbers (n,) of every rank to (ranks, n), the same on all. What a part
    becomes depends on it alone, and what is done with results happens on every rank in their order, so how many ranks
    there are changes no bit. One process by itself exchanges nothing.
    rows: whether all compute each part together instead, each a band of its rows; see `mg.models.layers.bands`.
    """

    rank: int = 0
    ranks: int = 1
    exchange: Callable[[np.ndarray], np.ndarray] | None = None
    rows: bool = False

    def results(self, parts: Iterable[AnyPart], by_window: bool) -> Iterator[tuple[AnyPart, np.ndarray]]:
        """Each part with its result, in their order; in rounds of a part for each rank, the n-th one by rank n, or of
        one part, by all.

        by_window: a round ends where a window does, so that the same tiles of all windows are computed by one rank.
        Held are the results of a round. Raises the InputError of any rank on all of them.
        """
        parts = iter(parts)
        while self.ranks == 1 or self.rows:
            with self.agreed():
                part = next(parts, None)
            if part is None:
                return
            yield part, part.compute()
            del part  # or it is held while the next one is computed
        while True:
            taken, result, error = [], np.zeros(0, np.float32), None
            try:
                for part in parts:
                    if len(taken) == self.rank:
                        result = part.compute()
                    taken.append(part)
                    if len(taken) == self.ranks or (by_window and part.last):
                        break
            except InputError as own:
                error = own
            shapes = self.agree(error, result.shape)
            if not taken:
                return
            yield from zip(taken, self._gathered(result, shapes))

    def agree(self, error: InputError | None = None, shape: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
        """Tell all ranks that this one goes on, and what shape its result has; the shapes of all.

        Raises the error, on every rank, if one has an error instead. All ranks must come here together.
        """
        if error is not None and self.ranks == 1:
            raise error
        if self.ranks == 1:
            return [shape]
        rows = self.exchange(_told(error, shape)).astype(int)
        if error is not None:
            raise error
        for row in rows:
            if row[0] == _FAILED:
                raise InputError(bytes(row[2 : 2 + row[1]].tolist()).decode(errors="replace"))
        return [tuple(row[2 : 2 + row[1]].tolist()) for row in rows]

    @contextmanager
    def agreed(self, steps: Iterable[object] = ()) -> Iterator[None]:
        """Around what ranks do by themselves: the InputError of one is raised on all, which stay in step.

        steps: what is computed by all together meanwhile; a rank that fails goes through the rest of it first. An
        OutputError ends a process, and with it the job.
        """
        try:
            yield
        except OutputError:
            raise
        except InputError as error:
            if self.ranks > 1:
                with suppress(InputError):
                    deque(steps, maxlen=0)
            self.agree(error)
        else:
            self.agree()

    def same(self, seed: int | None) -> int | None:
        """The seed, or, where there is none, one that rank 0 has drawn for all."""
        if seed is not None or self.ranks == 1:
            return seed
        high, low = self.exchange(np.random.default_rng().integers(_EXACT, size=2).astype(np.float32))[0]
        return int(high) * _EXACT + int(low)

    def joined(self, band: np.ndarray) -> np.ndarray:
        """(B, C, T, h, W) of each rank's rows -> (B, C, T, H, W)."""
        return np.concatenate(self._gathered(band, self.agree(None, band.shape)), 3)

    def _gathered(self, result: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
        """The results of all ranks, of the shapes; filled up to one size for the collective."""
        sizes = [prod(shape) for shape in shapes]
        filled = np.zeros(max(sizes), np.float32)
        filled[: result.size] = result.ravel()
        return [row[:size].reshape(shape) for row, size, shape in zip(self.exchange(filled), sizes, shapes)]


def _told(error: InputError | None, shape: tuple[int, ...]) -> np.ndarray:
    """What one rank tells all: whether it failed, how many numbers follow, and a text in UTF-8 or a shape."""
    numbers = shape if error is None else str(error).encode(errors="replace")[:_LONGEST]
    told = np.zeros(2 + _LONGEST, np.float32)
    told[:2], told[2 : 2 + len(numbers)] = (_FAILED if error else 0, len(numbers)), list(numbers)
    return told


ALONE = Team()
