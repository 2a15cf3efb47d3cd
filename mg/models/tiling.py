"""Encoding and decoding in tiles, for any model: clips of any length and size, in bounded memory.

Arrays on the host are fp32, (B, C, T, H, W). A model says what it compresses and computes one tile; see `Codec`.
Nothing is kept on the model: all that a stream remembers lives in its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

from mg.checks import require_whole
from mg.errors import InputError
from mg.models.tile_plan import BLENDS, Window, blend_weights, check_multiple, check_tile, rising, sampled, windows


class Codec(Protocol):
    """What tiling needs to know of a model.

    A tile's `state` is what the model handed back for the same tile of the window before, and None at first: a causal
    model's cache. Models without one hand back None; with one, windows can share nothing.
    `reference` is one clip of a tile's size that stands for the whole frames the tiles are cut from, or None:
    statistics over H and W are then its own, in every tile, so that tiles agree.
    """

    time_compression: int
    space_compression: int

    def latent_frames(self, frames: int) -> int:
        """How many latent frames the first so many frames of a clip become; 0 for 0."""

    def frames(self, latent_frames: int) -> int:
        """How many frames the first so many latent frames become; 0 for 0. A causal model's first one may be fewer."""

    def encode_tile(
        self, clip: np.ndarray, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, 3, T, H, W) in [-1, 1], H and W multiples of the compression -> moments (B, C, t, h, w), state."""

    def decode_tile(
        self, latents: np.ndarray, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, z, t, h, w) -> (B, 3, T, H, W), state."""


@dataclass(frozen=True)
class Tiles:
    """Sizes of tiles and of what neighbours share, in frames and pixels; those in time are Movie Gen's, 3.1.1.

    encode_context: so many frames on either side of a window are encoded with it, and their latents dropped, so that
    latents hardly depend on where windows end. The paper has none.
    tile_batch: so many tiles of one range of frames go through the model at once.
    time_blend, spatial_blend: how weights change over what two tiles share; see `mg.models.tile_plan.rising`.
    shared_statistics: whether all tiles of a frame are normalised alike, by a sample of the whole frame that goes
    through the model with every batch of tiles.
    """

    encode_tile: int = 32
    encode_overlap: int = 0
    decode_tile: int = 32
    decode_overlap: int = 16
    spatial_tile: int = 256
    spatial_overlap: int = 64
    tile_batch: int = 1
    time_blend: str = "cosine"
    spatial_blend: str = "cosine"
    shared_statistics: bool = False
    encode_context: int = 8

    def check(self, codec: Codec) -> None:
        """Raise InputError, naming the field, for sizes that `codec` cannot use."""
        check_tile("encode_tile", self.encode_tile, self.encode_overlap, codec.time_compression)
        check_tile("decode_tile", self.decode_tile, self.decode_overlap, codec.time_compression)
        check_tile("spatial_tile", self.spatial_tile, self.spatial_overlap, codec.space_compression)
        check_multiple("encode_context", self.encode_context, 0, codec.time_compression)
        require_whole("tile_batch", self.tile_batch, 1)
        for field in ("time_blend", "spatial_blend"):
            if getattr(self, field) not in BLENDS:
                raise InputError(f"{field}={getattr(self, field)!r} is unknown; use one of {', '.join(BLENDS)}")
        if not isinstance(self.shared_statistics, bool):
            raise InputError(f"shared_statistics={self.shared_statistics!r} must be True or False")


def encode_stream(codec: Codec, tiles: Tiles, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Moments (B, C, 1, h, w), one latent frame after the other, of a clip that comes in pieces (B, 3, T, H, W).

    H and W are padded to multiples of the compression by repeating the last row and column. At most one tile with its
    context, what the next one shares with it, and one piece are held. Raises InputError for an empty stream and for a
    piece of another size.
    """
    unit = codec.space_compression
    time = _Time(
        tiles.encode_tile // codec.time_compression,
        tiles.encode_overlap // codec.time_compression,
        tiles.encode_context // codec.time_compression,
        codec.frames,
        _same,
        tiles.time_blend,
    )
    space = _Space(tiles, unit, unit, 1, codec.encode_tile)

    def process(frames: list[np.ndarray], states: list) -> tuple[np.ndarray, list]:
        return space.process([_filled_up(part, unit) for part in frames], states)

    yield from time.process(clips, process)


def decode_stream(codec: Codec, tiles: Tiles, latents: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames (B, 3, T, H, W), those of one latent frame at a time, of latents that come in pieces (B, z, t, h, w)."""
    space = _Space(tiles, codec.space_compression, 1, codec.space_compression, codec.decode_tile)
    time = _Time(
        tiles.decode_tile // codec.time_compression,
        tiles.decode_overlap // codec.time_compression,
        0,
        _same,
        codec.frames,
        tiles.time_blend,
    )
    yield from time.process(latents, space.process)


@dataclass(frozen=True)
class _Time:
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


@dataclass(frozen=True)
class _Space:
    """Tiles over H and W. They are planned in units of the compression: so many samples in, so many out."""

    tiles: Tiles
    compression: int
    in_unit: int
    out_unit: int
    compute: Callable[..., tuple[np.ndarray, Any]]

    def process(self, frames: list[np.ndarray], states: list) -> tuple[np.ndarray, list]:
        """Process tiles of frames, in arrays (B, C, T, H, W), and blend them; of states one goes in and out a call.

        All tiles have one size: the last ones end at the edge, and more than two may then meet.
        """
        height, width = (side // self.in_unit for side in frames[0].shape[3:])
        spots = list(product(self.plan(height), self.plan(width)))
        if len(spots) == 1:
            result, state = self.compute(np.concatenate(frames, 2), *states)
            return result, _given([state])
        if self.tiles.shared_statistics and len(frames[0]) > 1:  # each clip has statistics of its own
            states = states or [[]] * len(frames[0])
            clips = ([frame[index : index + 1] for frame in frames] for index in range(len(states)))
            results, states = zip(*(self.process(clip, state) for clip, state in zip(clips, states)))
            return np.concatenate(results), list(states) if any(states) else []
        batch = min(self.tiles.tile_batch, len(spots))
        calls = [spots[first : first + batch] for first in range(0, len(spots), batch)]
        reference = self.reference(frames, height, width) if self.tiles.shared_statistics else None
        out, after = None, []
        for chosen, state in zip(calls, states or [None] * len(calls)):
            inputs = [self.cut(frames, row, column) for (row, _), (column, _) in chosen]
            inputs = np.concatenate(inputs + inputs[-1:] * (batch - len(chosen)))
            results, state = self.compute(inputs, state, reference)
            after.append(state)
            results = np.split(results, batch)
            if out is None:
                out = np.zeros((*results[0].shape[:3], height * self.out_unit, width * self.out_unit), np.float32)
            for spot, result in zip(chosen, results):
                self.add(out, result, *spot)
            del inputs, results, result  # while the next tiles are computed
        return out, _given(after)

    def cut(self, frames: list[np.ndarray], row: Window, column: Window) -> np.ndarray:
        """A tile of the frames, (B, C, T, h, w)."""
        return np.concatenate([_cut(frame, row, column, self.in_unit) for frame in frames], 2)

    def add(
        self, out: np.ndarray, result: np.ndarray, row: tuple[Window, np.ndarray], column: tuple[Window, np.ndarray]
    ) -> None:
        """Add a tile to the whole; row and column: where it lies, and its weights there."""
        part, weight = _cut(out, row[0], column[0], self.out_unit), np.outer(row[1], column[1])
        for index in range(result.shape[2]):  # a product of the whole tile would be one buffer more
            part[:, :, index] += result[:, :, index] * weight

    def plan(self, units: int) -> list[tuple[Window, np.ndarray]]:
        """Each window of an axis, in units, with the weights of what comes out of it."""
        tile, overlap = (n // self.compression for n in (self.tiles.spatial_tile, self.tiles.spatial_overlap))
        plan = windows(units, tile, overlap, last_at_end=True)
        samples = [Window(w.start * self.out_unit, w.stop * self.out_unit) for w in plan]
        return list(zip(plan, blend_weights(samples, self.tiles.spatial_blend)))

    def reference(self, frames: list[np.ndarray], height: int, width: int) -> np.ndarray:
        """A tile put together from small blocks of the whole frame, spread evenly, at their own scale."""
        tile = self.tiles.spatial_tile // self.compression
        unit = np.arange(self.in_unit)
        rows, columns = (np.add.outer(sampled(side, tile) * self.in_unit, unit).ravel() for side in (height, width))
        return np.concatenate([frame[..., rows, :][..., columns] for frame in frames], 2)


def _filled_up(clip: np.ndarray, unit: int) -> np.ndarray:
    """Rows and columns up to a multiple of `unit`: the last ones, repeated."""
    below, right = -clip.shape[3] % unit, -clip.shape[4] % unit
    if below or right:
        clip = np.pad(clip, ((0, 0), (0, 0), (0, 0), (0, below), (0, right)), mode="edge")
    return clip


def _cut(array: np.ndarray, row: Window, column: Window, unit: int) -> np.ndarray:
    return array[..., row.start * unit : row.stop * unit, column.start * unit : column.stop * unit]


def _blend(before: np.ndarray, after: np.ndarray, blend: str) -> np.ndarray:
    """`after`, blended over its first frames with what the window before said of them; may change both arrays."""
    shared = before.shape[2]
    weight = rising(shared, blend).astype(np.float32)[:, None, None]
    after = np.require(after, requirements="W")
    before *= 1 - weight
    after[:, :, :shared] *= weight
    after[:, :, :shared] += before
    return after


def _given(states: Iterable) -> list:
    """The states, or an empty list if the model keeps none."""
    states = list(states)
    return states if any(state is not None for state in states) else []


def _same(latent_frames: int) -> int:
    return latent_frames
