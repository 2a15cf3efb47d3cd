"""A stream cut into windows over time: blended with their neighbours, on their own, or carrying a state along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mg.errors import InputError
from mg.models.tiling.plan import rising
from mg.models.tiling.tiles import Codec, Tiles


@dataclass(frozen=True)
class Window:
    """A stretch of a stream that goes through the model in one.

    into, out: (start, stop) of the samples that go in, and of those that come out, stop excluded.
    dropped, shared: how many samples of what comes out do not count, and up to which one they are blended with what
    is there already. edges: where the pieces begin and end in which the stream is handed over, up to the last sample
    that counts. done: the sample up to which the stream is finished once this window is added.
    """

    into: tuple[int, int]
    out: tuple[int, int]
    dropped: int
    shared: int
    edges: tuple[int, ...]
    done: int

    def weights(self, blend: str) -> tuple[np.ndarray, np.ndarray]:
        """Weights of the samples that come out, and of the ramp among them, fp32."""
        weights = np.ones(self.edges[-1] - self.out[0], np.float32)
        ramp = rising(self.shared - self.dropped, blend).astype(np.float32)
        weights[: self.dropped], weights[self.dropped : self.shared] = 0, ramp[: len(weights) - self.dropped]
        return weights, ramp


class Timeline:
    """Where windows lie: window k begins at latent frame k * (tile - overlap) and is `tile` latent frames long.

    blend: windows overlap; computed are `context` latent frames more on either side. The first window, which has
    nothing before it, looks as much further ahead, and the last one, which has nothing behind it, begins as much
    earlier, so that all have one length and real frames only. Each is a clip of its own to the model, and ends where a
    latent frame does. So a clip of no more than a tile with its context is one window.
    restart: windows of so many frames that know nothing of each other, the last one as long as what is left.
    whole: one window, however long the clip is, which is held until it ends.
    carry: windows follow each other, and the model's state goes along.

    encoding: frames come in and latent frames go out; else the other way round. frames: says how many the whole clip
    has; asked when all latents are there.
    """

    def __init__(self, codec: Codec, tiles: Tiles, encoding: bool, frames: Callable[[], int] | None = None):
        self.codec, self.encoding, self.frames = codec, encoding, frames
        self.mode, self.separate = tiles.time_mode, tiles.separate
        name = "encode" if encoding else "decode"
        self.tile_frames = getattr(tiles, f"{name}_window")
        self.tile = codec.window_latents(self.tile_frames)
        self.overlap = tiles.in_latents(codec, getattr(tiles, f"{name}_overlap"))
        self.context = tiles.in_latents(codec, tiles.encode_context) if encoding else 0

    def cut(self, samples: Iterable[np.ndarray]) -> Iterator[tuple[Window, list[np.ndarray]]]:
        """Windows of a stream of single samples, (B, C, 1, H, W) of one size, and the samples of each.

        Where a stream ends inside a latent frame, its last sample is repeated up to there. At most one window of
        samples is held, in arrays that are filled anew as windows move on: use them before the next one.
        """
        held, filled, number, window = [], 0, 0, self.window(0)
        for sample in samples:
            while filled == window.into[1] - window.into[0]:
                yield window, held[:filled]
                number, before = number + 1, window
                window = self.window(number)
                moved = window.into[0] - before.into[0]
                held, filled = held[moved:] + held[:moved], filled - moved
            if filled == len(held):
                held.append(np.empty_like(sample))
            held[filled][:] = sample
            filled += 1
        if not filled:
            raise InputError("the stream is empty; give it at least one frame")
        end = window.into[0] + filled
        window = self.window(number, end)
        missing = window.into[1] - end
        held = held[filled:] + held[:filled]  # arrays that were not filled anew hold the samples before
        begins = len(held) + missing - (window.into[1] - window.into[0])
        spare = held[:begins] + [np.empty_like(held[0]) for _ in range(missing - begins)]
        for array in spare[:missing]:
            array[:] = held[-1]
        yield window, held[begins:] + spare[:missing]

    def window(self, number: int, end: int | None = None) -> Window:
        """Window `number`; the last one of a stream that ends after so many samples, if `end` is given."""
        start = number * (self.tile - self.overlap)
        first = max(0, start - self.context)
        stop = first + self.tile + 2 * self.context
        kept = start + self.tile if end is None else self._latents(number, end)
        if end is not None and number and self.mode == "blend":
            first, stop = kept - (stop - first), kept
        into, out = (self._span(first, stop, encoding) for encoding in (self.encoding, not self.encoding))
        if end is not None and (self.separate or not number):
            filled = self.codec.filled(end - into[0]) if self.encoding and self.mode != "carry" else end - into[0]
            into, out = (into[0], into[0] + filled), (out[0], self._out(kept))
        if self.separate:
            if end is not None and self.frames is not None:
                out = (out[0], min(out[1], self.frames()))
            edges = out
        else:
            edges = tuple(map(self._out, range(start, kept + 1)))
        begins, shared = (max(0, self._out(latent) - out[0]) for latent in (start, start + self.overlap))
        done = edges[-1] if end is not None else self._out(start + self.tile - self.overlap)
        return Window(into, out, begins, max(begins, shared) if number else begins, edges, done)

    def _span(self, first: int, stop: int, in_frames: bool) -> tuple[int, int]:
        """Latent frames first to stop, or the frames that go through the model with them."""
        if not in_frames:
            return first, stop
        if self.mode == "blend":
            return self._begins(stop) - self.codec.window_frames(stop - first), self._begins(stop)
        return self._begins(first), self._begins(stop)

    def _begins(self, latent: int) -> int:
        """The frame where a latent frame begins."""
        if not self.separate:
            return self.codec.window_frames(latent)
        windows, rest = divmod(latent, self.tile)
        return windows * self.tile_frames + min(self.codec.window_frames(rest), self.tile_frames)

    def _out(self, latent: int) -> int:
        """The sample that comes out where a latent frame begins."""
        return latent if self.encoding else self._begins(latent)

    def _latents(self, number: int, end: int) -> int:
        """Latent frames of a stream of so many samples, of which the last are in window `number`."""
        if not self.encoding:
            return end
        if self.separate:
            return number * self.tile + self.codec.window_latents(end - number * self.tile_frames)
        return self.codec.window_latents(end)
