"""A stream cut into windows over time, and what became of them put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mg.errors import InputError
from mg.models.tile_plan import rising


@dataclass(frozen=True)
class TimeWindows:
    """Windows over time: window k begins at latent frame k * (tile - overlap) and is `tile` latent frames long.

    Computed are `context` latent frames more on either side; the first window, which has nothing before it, looks as
    much further ahead, so that all have one length. See `mg.models.tile_plan.windows`.
    into, out: where a latent frame begins, counted in what comes in and in what goes out.
    """

    tile: int
    overlap: int
    context: int
    into: Callable[[int], int]
    out: Callable[[int], int]
    blend: str

    def process(
        self, pieces: Iterable[np.ndarray], process: Callable[[list[np.ndarray], list], tuple[np.ndarray, list]]
    ) -> Iterator[np.ndarray]:
        """Process the windows, blend their overlaps, and yield, latent frame by latent frame, what is done with.

        A last window that is shorter than its fellows is filled up by repeating its last sample, and its surplus
        dropped: one graph serves all. A stream that fits into one window is taken as it is.
        """
        waiting, states = None, []
        for start, stop, samples, last in self.windows(pieces):
            result, states = process(samples, states)
            del samples
            if states and (self.overlap or self.context):
                raise InputError(
                    "this model hands a state from window to window, which can then share nothing; "
                    "set encode_overlap, encode_context and decode_overlap to 0"
                )
            begin = self.out(self.begin(start))
            result = result[:, :, self.out(start) - begin : self.out(stop) - begin]
            if waiting is not None:
                result, waiting = _blend(waiting, result, self.blend), None
            ready = stop if last else start + self.tile - self.overlap
            for latent in range(start, ready):  # copies, so that whoever gets them does not hold the window
                yield result[:, :, self.out(latent) - self.out(start) : self.out(latent + 1) - self.out(start)].copy()
            waiting = result[:, :, self.out(ready) - self.out(start) :].copy() if self.overlap else None
            del result

    def windows(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[int, int, list[np.ndarray], bool]]:
        """Cut a stream: first and last latent frame, samples (with context) and whether it is the last, of each window.

        Samples lie in one array for each latent frame, and windows share these. A window is handed over: while others
        work on what became of it, only what the next one shares is kept.
        """
        start, samples, room, size = 0, [], 0, None  # room: what the last array still takes
        for piece in pieces:
            size, before = (*piece.shape[:2], "T", *piece.shape[3:]), size
            if before not in (None, size):
                raise InputError(f"a stream of {before} goes on with {size}; all its pieces must have one size")
            while piece.shape[2]:
                if not room:
                    while len(samples) == self.length:
                        window, following = [samples], start + self.tile - self.overlap
                        samples = samples[self.begin(following) - self.begin(start) :]
                        yield start, start + self.tile, window.pop(), False
                        start = following
                    latent = self.begin(start) + len(samples)
                    room = self.into(latent + 1) - self.into(latent)
                    samples.append(np.empty((*piece.shape[:2], room, *piece.shape[3:]), piece.dtype))
                taken, at = min(room, piece.shape[2]), samples[-1].shape[2] - room
                samples[-1][:, :, at : at + taken] = piece[:, :, :taken]
                room, piece = room - taken, piece[:, :, taken:]
        if not samples:
            raise InputError("the stream is empty; give it at least one frame")
        stop = self.begin(start) + len(samples)
        filled = samples[-1].shape[2] - room
        if start > 0:
            end = samples[-1][:, :, filled - 1 : filled].copy()
            samples[-1][:, :, filled:] = end
            samples += [np.broadcast_to(end, samples[-1].shape)] * (self.length - len(samples))
        else:
            samples[-1] = samples[-1][:, :, :filled]
        window, samples = [samples], None
        yield start, stop, window.pop(), True

    @property
    def length(self) -> int:
        """Latent frames of a window with its context."""
        return self.tile + 2 * self.context

    def begin(self, start: int) -> int:
        """The latent frame where the context of the window that begins at `start` does."""
        return max(0, start - self.context)


def _blend(before: np.ndarray, after: np.ndarray, blend: str) -> np.ndarray:
    """`after`, blended over its first frames with what the window before said of them; may change both arrays."""
    shared = before.shape[2]
    weight = rising(shared, blend).astype(np.float32)[:, None, None]
    after = np.require(after, requirements="W")
    before *= 1 - weight
    after[:, :, :shared] *= weight
    after[:, :, :shared] += before
    return after
