"""Encoding and decoding in tiles, for any model: clips of any length and size, in bounded memory.

Arrays on the host are fp32, (B, C, T, H, W). A model says what it compresses and computes one tile; see `Codec`.
Nothing is kept on the model: all that a stream remembers lives in its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mg.errors import InputError
from mg.models.tiling.overlap_add import OverlapAdd
from mg.models.tiling.paste import PastedSlices
from mg.models.tiling.space import Batch, SpaceTiles
from mg.models.tiling.team import ALONE, Team
from mg.models.tiling.tiles import Codec, Tiles
from mg.models.tiling.time import Timeline, Window
from mg.progress import say


def encode_stream(codec: Codec, tiles: Tiles, clips: Iterable[np.ndarray], team: Team = ALONE) -> Iterator[np.ndarray]:
    """Raw output (B, C, t, h, w), a piece after the other, of a clip that comes in pieces (B, 3, T, H, W).

    Pieces are single latent frames, or windows where these restart. H and W are padded to multiples of the compression
    by repeating the last row and column. At most one window of frames with its context, and one piece, are held.
    team: processes that compute the stream together, see there; each of them gives all of it.
    Raises InputError for an empty stream and for a piece of another size.
    """
    timeline = Timeline(codec, tiles, encoding=True)
    return _walk(codec, tiles, timeline, _singles(clips, codec.space_compression), team)


def decode_stream(
    codec: Codec,
    tiles: Tiles,
    latents: Iterable[np.ndarray],
    frames: Callable[[], int] | None = None,
    team: Team = ALONE,
) -> Iterator[np.ndarray]:
    """Frames (B, 3, T, H, W), those of one piece at a time, of latents that come in pieces (B, z, t, h, w).

    frames: says how many the clip has that was encoded, once all latents were read; without it, a last window that
    restarts may give a few more.
    At most one window of frames is held, and raised is what `encode_stream` raises.
    """
    timeline = Timeline(codec, tiles, encoding=False, frames=frames)
    return _walk(codec, tiles, timeline, _singles(latents, 1), team)


@dataclass(frozen=True)
class _Part:
    """Tiles of a window that are computed at once, and their number among those of the window.

    size: (B, H, W) of all that comes out. run: computes them; a state that windows carry along is its own concern.
    """

    window: Window
    number: int
    last: bool
    batch: Batch
    size: tuple[int, int, int]
    run: Callable[[Window, int, Batch], np.ndarray]

    def compute(self) -> np.ndarray:
        return self.run(self.window, self.number, self.batch)


def _walk(
    codec: Codec, tiles: Tiles, timeline: Timeline, samples: Iterable[np.ndarray], team: Team
) -> Iterator[np.ndarray]:
    """Window after window: what its tiles become is added up with what they overlap, and out what is finished."""
    sums, parts = OverlapAdd(), _parts(codec, tiles, timeline, samples)
    for part, results in team.results(parts, by_window=tiles.time_mode == "carry"):
        window, last = part.window, part.last
        if part.number == 0:
            weights, ramp = window.weights(tiles.time_blend)
            sums.extend(window.edges)
            sums.scale(window.out[0] + window.dropped, 1 - ramp)
        for spot, result in zip(part.batch.spots, np.split(results, len(results) // part.batch.clips)):
            sums.add(window.out[0], weights, part.size, spot, result)
        say(_at(window, timeline.encoding, part.number + 1), window.out[1] if last and not timeline.encoding else 0)
        del part, results, result  # or they are held while the next tiles are computed
        if last:
            yield from sums.take(window.done)


def _parts(codec: Codec, tiles: Tiles, timeline: Timeline, samples: Iterable[np.ndarray]) -> Iterator[_Part]:
    """Tiles of one window after the other, of frames that are there until the next part is asked for."""
    kind = PastedSlices if tiles.spatial_mode == "paste" else SpaceTiles
    space, states = None, {}

    def run(window: Window, number: int, batch: Batch) -> np.ndarray:
        state = states.get(number) if tiles.time_mode == "carry" else None
        if timeline.encoding:
            results, states[number] = codec.encode_tile(batch.cut(), state, batch.reference)
        else:
            frames = window.out[1] - window.out[0]
            results, states[number] = codec.decode_tile(batch.cut(), frames, state, batch.reference)
        return results

    for window, held in timeline.cut(samples):
        space = space or kind(tiles, codec.space_compression, timeline.encoding, held[0].shape)
        batches = list(space.batches(held))
        for number, batch in enumerate(batches):
            yield _Part(window, number, number + 1 == len(batches), batch, space.size, run)
        del batches, batch  # which may have frames of their own


def _at(window: Window, encoding: bool, tiles: int) -> str:
    """What was computed last, in words."""
    first, stop = window.into if encoding else window.out
    return f"{'encoding' if encoding else 'decoding'} frames {first} to {stop - 1}, tile {tiles}"


def _singles(pieces: Iterable[np.ndarray], unit: int) -> Iterator[np.ndarray]:
    """Frames of pieces of one size, with rows and columns up to a multiple of `unit`: the last ones, repeated."""
    size = None
    for piece in pieces:
        size, before = (*piece.shape[:2], "T", *piece.shape[3:]), size
        if before not in (None, size):
            raise InputError(f"a stream of {before} goes on with {size}; all its pieces must have one size")
        for index in range(piece.shape[2]):  # a piece may be a whole clip, which is not to be copied as one
            yield padded(piece[:, :, index : index + 1], unit, 1)


def padded(clip: np.ndarray, unit: int, frames: int) -> np.ndarray:
    """(B, C, T, H, W) with so many frames, and rows and columns up to multiples of `unit`: the last ones, repeated."""
    below, right = (-side % unit for side in clip.shape[3:])
    return np.pad(clip, ((0, 0), (0, 0), (0, frames - clip.shape[2]), (0, below), (0, right)), mode="edge")
