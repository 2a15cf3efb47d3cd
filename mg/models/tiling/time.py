"""A stream cut into windows over time, and what became of them put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from mg.errors import InputError
from mg.models.tiling.overlap_add import OverlapAdd
from mg.models.tiling.plan import rising


@dataclass(frozen=True)
class TimeWindows:
    """Windows over time: window k begins at latent frame k * (tile - overlap) and is `tile` latent frames long.

    Computed are `context` latent frames more on either side; the first window, which has nothing before it, looks as
    much further ahead, so that all have one length. See `mg.models.tiling.plan.windows`.
    into, out: where a latent frame begins, counted in what comes in and in what goes out.
    """

    tile: int
    overlap: int
    context: int
    into: Callable[[int], int]
    out: Callable[[int], int]
    blend: str

    def process(
        self, frames: Iterable[np.ndarray], process: Callable[[list[np.ndarray], list, Callable], list]
    ) -> Iterator[np.ndarray]:
        """Process the windows, blend their overlaps, and yield, latent frame by latent frame, what is done with.

        frames: one by one, (B, C, 1, H, W), of one size. process: samples of a window, states of the window before, and
        what adds a tile up (see `OverlapAdd.add`) -> states.
        A last window that is shorter than its fellows is filled up by repeating its last sample, and its surplus
        dropped: one graph serves all. A stream no longer than a tile is taken as it is.
        """
        sums, states = OverlapAdd(self.out), []
        for start, stop, samples, last in self.windows(frames):
            begin = self.begin(start)
            weights = np.ones(self.out(stop) - self.out(begin), np.float32)
            if start:
                dropped, shared = (self.out(latent) - self.out(begin) for latent in (start, start + self.overlap))
                ramp = rising(shared - dropped, self.blend).astype(np.float32)
                sums.scale(start, 1 - ramp)
                weights[:dropped], weights[dropped:shared] = 0, ramp
            states = process(samples, states, partial(sums.add, begin, weights))
            if states and (self.overlap or self.context):
                raise InputError(
                    "this model hands a state from window to window, which can then share nothing; "
                    "set encode_overlap, encode_context and decode_overlap to 0"
                )
            for latent in range(start, stop if last else start + self.step):
                yield sums.take(latent)

    def windows(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[int, int, list[np.ndarray], bool]]:
        """Cut a stream: first and last latent frame, samples (with context) and whether it is the last, of each window.

        Samples lie in one array for each latent frame. These arrays are all that is ever held, and are filled anew as
        windows move on: use them before the next one.
        """
        start, stop, room, ring = 0, 0, 0, []  # stop, room: where the last array begun ends, and what it still takes
        for frame in frames:
            if not room:
                while stop == self.begin(start) + self.length:
                    yield start, start + self.tile, self._samples(ring, start), False
                    done = self.begin(start + self.step) - self.begin(start)
                    ring, start = ring[done:] + ring[:done], start + self.step
                if stop - self.begin(start) == len(ring):
                    most = self.into(2) - self.into(1)  # a causal model's first latent frame takes fewer
                    ring.append(np.empty((*frame.shape[:2], most, *frame.shape[3:]), frame.dtype))
                room, stop = self.into(stop + 1) - self.into(stop), stop + 1
            at = self.into(stop) - self.into(stop - 1) - room
            ring[stop - 1 - self.begin(start)][:, :, at : at + 1] = frame
            room -= 1
        if not stop:
            raise InputError("the stream is empty; give it at least one frame")
        if stop > self.tile:
            ring += [np.empty_like(ring[0]) for _ in range(self.length - len(ring))]
        samples, last = self._samples(ring, start), stop - 1 - self.begin(start)
        filled = samples[last].shape[2] - room
        if stop > self.tile:
            final = samples[last][:, :, filled - 1 : filled].copy()
            for array in (samples[last][:, :, filled:], *samples[last + 1 :]):
                array[:] = final
        else:
            samples[last] = samples[last][:, :, :filled]
        yield start, stop, samples, True

    @property
    def step(self) -> int:
        """Latent frames from the start of a window to that of the next."""
        return self.tile - self.overlap

    @property
    def length(self) -> int:
        """Latent frames of a window with its context."""
        return self.tile + 2 * self.context

    def begin(self, start: int) -> int:
        """The latent frame where the context of the window that begins at `start` does."""
        return max(0, start - self.context)

    def _samples(self, ring: list[np.ndarray], start: int) -> list[np.ndarray]:
        latents = enumerate(ring, self.begin(start))
        return [array[:, :, : self.into(latent + 1) - self.into(latent)] for latent, array in latents]
