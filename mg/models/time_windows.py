"""A stream cut into windows over time, and what became of them put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from mg.errors import InputError
from mg.models.overlap_add import OverlapAdd
from mg.models.tile_plan import rising


@dataclass(frozen=True)
class TimeWindows:
    """Windows of `tile` latent frames, of which neighbours share `overlap`, and `context` more on either side of that.

    What two windows say of the overlap is blended. Their context, at the end of one and the start of the other, is
    computed and dropped. See `mg.models.tile_plan.windows`.
    into, out: where a latent frame begins, counted in what comes in and in what goes out.
    """

    tile: int
    overlap: int
    context: int
    into: Callable[[int], int]
    out: Callable[[int], int]
    blend: str

    def process(
        self, pieces: Iterable[np.ndarray], process: Callable[[list[np.ndarray], list, Callable], list]
    ) -> Iterator[np.ndarray]:
        """Process the windows, blend their overlaps, and yield, latent frame by latent frame, what is done with.

        pieces: of one size. process: samples of a window, states of the window before, and what adds a tile up (see
        `OverlapAdd.add`) -> states.
        A last window that is shorter than its fellows is filled up by repeating its last sample, and its surplus
        dropped: one graph serves all. A stream that fits into one window is taken as it is.
        """
        sums, states, done = OverlapAdd(self.out), [], 0
        for start, stop, samples, last in self.windows(pieces):
            end = stop if last else stop - self.context
            weights = np.ones(self.out(end) - self.out(start), np.float32)
            if start:
                dropped = self.out(done) - self.out(start)
                shared = self.out(done + self.overlap) - self.out(start)
                ramp = rising(shared - dropped, self.blend).astype(np.float32)
                sums.scale(done, 1 - ramp)
                weights[:dropped], weights[dropped:shared] = 0, ramp
            states = process(samples, states, partial(sums.add, start, weights))
            if states and self.step < self.tile:
                raise InputError(
                    "this model hands a state from window to window, which can then share nothing; "
                    "set encode_overlap, encode_context and decode_overlap to 0"
                )
            ready = end if last else end - self.overlap
            for latent in range(done, ready):
                yield sums.take(latent)
            done = ready

    def windows(self, pieces: Iterable[np.ndarray]) -> Iterator[tuple[int, int, list[np.ndarray], bool]]:
        """Cut a stream: first and last latent frame, samples and whether it is the last, of each window.

        Samples lie in one array for each latent frame. These arrays are all that is ever held, and are filled anew as
        windows move on: use them before the next one.
        """
        start, stop, room, ring = 0, 0, 0, []  # room: what the last array begun still takes
        for piece in pieces:
            while piece.shape[2]:
                if not room:
                    if stop == start + self.tile:
                        yield start, stop, self._samples(ring, start), False
                        start += self.step
                        ring = ring[self.step :] + ring[: self.step]
                    if stop - start == len(ring):
                        most = self.into(2) - self.into(1)  # a causal model's first latent frame takes fewer
                        ring.append(np.empty((*piece.shape[:2], most, *piece.shape[3:]), piece.dtype))
                    room, stop = self.into(stop + 1) - self.into(stop), stop + 1
                at = self.into(stop) - self.into(stop - 1) - room
                taken = min(room, piece.shape[2])
                ring[stop - 1 - start][:, :, at : at + taken] = piece[:, :, :taken]
                room, piece = room - taken, piece[:, :, taken:]
        if not stop:
            raise InputError("the stream is empty; give it at least one frame")
        samples, last = self._samples(ring, start), stop - 1 - start
        filled = samples[last].shape[2] - room
        if start:
            final = samples[last][:, :, filled - 1 : filled].copy()
            for array in (samples[last][:, :, filled:], *samples[last + 1 :]):
                array[:] = final
        else:
            samples[last] = samples[last][:, :, :filled]
        yield start, stop, samples, True

    @property
    def step(self) -> int:
        """Latent frames from the start of a window to that of the next."""
        return self.tile - self.overlap - 2 * self.context

    def _samples(self, ring: list[np.ndarray], start: int) -> list[np.ndarray]:
        return [array[:, :, : self.into(latent + 1) - self.into(latent)] for latent, array in enumerate(ring, start)]
