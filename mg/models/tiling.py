"""Encoding and decoding in tiles, for any model: clips of any length and size, in bounded memory.

Arrays on the host are fp32, (B, C, T, H, W). A model says what it compresses and computes one tile; see `Codec`.
Nothing is kept on the model: all that a stream remembers lives in its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from mg.errors import InputError
from mg.models.tile_plan import Window, blend_weights, check_tile, rising, windows


class Codec(Protocol):
    """What tiling needs to know of a model."""

    time_compression: int
    space_compression: int

    def latent_frames(self, frames: int) -> int:
        """How many latent frames so many frames become."""

    def frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames become."""

    def encode_tile(self, clip: np.ndarray) -> np.ndarray:
        """(B, 3, T, H, W) in [-1, 1], H and W multiples of the compression -> moments (B, C, t, h, w)."""

    def decode_tile(self, latents: np.ndarray) -> np.ndarray:
        """(B, z, t, h, w) -> (B, 3, T, H, W)."""


@dataclass(frozen=True)
class Tiles:
    """Sizes of tiles and of what neighbours share, in frames and pixels. In time the defaults are Movie Gen's, 3.1.1.

    tile_batch: so many tiles of one range of frames go through the model at once.
    """

    encode_tile: int = 32
    encode_overlap: int = 0
    decode_tile: int = 32
    decode_overlap: int = 16
    spatial_tile: int = 256
    spatial_overlap: int = 64
    tile_batch: int = 1

    def check(self, codec: Codec) -> None:
        """Raise InputError, naming the field, for sizes that `codec` cannot use."""
        check_tile("encode_tile", self.encode_tile, self.encode_overlap, codec.time_compression)
        check_tile("decode_tile", self.decode_tile, self.decode_overlap, codec.time_compression)
        check_tile("spatial_tile", self.spatial_tile, self.spatial_overlap, codec.space_compression)
        check_tile("tile_batch", self.tile_batch, 0, 1)


def encode_stream(codec: Codec, tiles: Tiles, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Moments (B, C, t, h, w), a few latent frames at a time, of a clip that comes in pieces (B, 3, T, H, W).

    H and W are padded to multiples of the compression by repeating the last row and column. At most one tile, one
    overlap and one piece are held. Raises InputError for an empty stream and for a piece of another size.
    """
    unit = codec.space_compression
    tile, overlap = tiles.spatial_tile // unit, tiles.spatial_overlap // unit

    def encode(clip: np.ndarray) -> np.ndarray:
        below, right = -clip.shape[3] % unit, -clip.shape[4] % unit
        clip = np.pad(clip, ((0, 0), (0, 0), (0, 0), (0, below), (0, right)), mode="edge")
        return _in_space(clip, tile, overlap, unit, 1, tiles.tile_batch, codec.encode_tile)

    yield from _in_time(clips, tiles.encode_tile, tiles.encode_overlap, codec.latent_frames, encode)


def decode_stream(codec: Codec, tiles: Tiles, latents: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames (B, 3, T, H, W), some at a time, of latents that come in pieces (B, z, t, h, w)."""
    unit = codec.space_compression
    tile, overlap = tiles.spatial_tile // unit, tiles.spatial_overlap // unit
    tile_t, overlap_t = (n // codec.time_compression for n in (tiles.decode_tile, tiles.decode_overlap))

    def decode(z: np.ndarray) -> np.ndarray:
        return _in_space(z, tile, overlap, 1, unit, tiles.tile_batch, codec.decode_tile)

    yield from _in_time(latents, tile_t, overlap_t, codec.frames, decode)


def _in_time(
    pieces: Iterable[np.ndarray],
    tile: int,
    overlap: int,
    out_length: Callable[[int], int],
    process: Callable[[np.ndarray], np.ndarray],
) -> Iterator[np.ndarray]:
    """Process windows over time, blend their overlaps linearly, and yield what no later window will change.

    A last window that is shorter than a tile is filled up by repeating its last sample, and its surplus dropped: one
    graph serves all windows. A stream that fits into one window is taken as it is.
    """
    start, done = 0, 0
    total = weight = None
    for samples, last in _windows(pieces, tile, tile - overlap):
        length = samples.shape[2]
        missing = 0 if start == 0 else tile - length
        filled = np.concatenate([samples] + [samples[:, :, -1:]] * missing, 2)
        out = process(filled)[:, :, : out_length(length)]
        ramp = _ramp(out.shape[2], 0 if start == 0 else out_length(overlap), 0 if last else out_length(overlap))
        if total is None:
            total, weight = out * ramp, ramp
        else:
            room = ((0, out_length(start) + out.shape[2] - done - total.shape[2]),)
            total = np.pad(total, ((0, 0), (0, 0), *room, (0, 0), (0, 0)))
            weight = np.pad(weight, (*room, (0, 0), (0, 0)))
            total[:, :, -out.shape[2] :] += out * ramp
            weight[-out.shape[2] :] += ramp
        start += tile - overlap
        ready = total.shape[2] if last else out_length(start) - done
        yield total[:, :, :ready] / weight[:ready]
        total, weight = total[:, :, ready:], weight[ready:]
        done += ready


def _windows(pieces: Iterable[np.ndarray], tile: int, step: int) -> Iterator[tuple[np.ndarray, bool]]:
    """Cut a stream into windows of `tile` samples, `step` apart; the last one may be shorter and is marked."""
    held = None
    for piece in pieces:
        if held is not None and piece.shape[:2] + piece.shape[3:] != held.shape[:2] + held.shape[3:]:
            raise InputError(f"a stream of {held.shape} goes on with {piece.shape}; all its pieces must have one size")
        held = piece if held is None else np.concatenate((held, piece), 2)
        while held.shape[2] > tile:
            yield held[:, :, :tile], False
            held = held[:, :, step:]
    if held is None or held.shape[2] == 0:
        raise InputError("the stream is empty; give it at least one frame")
    yield held, True


def _ramp(length: int, before: int, after: int) -> np.ndarray:
    """(length, 1, 1) weights that rise over the first `before` samples and fall over the last `after`."""
    ramp = np.ones(length, np.float32)
    if before:
        ramp[:before] *= rising(before)
    if after:
        ramp[-after:] *= 1 - rising(after)
    return ramp[:, None, None]


def _in_space(
    array: np.ndarray,
    tile: int,
    overlap: int,
    in_unit: int,
    out_unit: int,
    batch: int,
    process: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Process tiles over H and W and blend them; tile and overlap count units, of which H and W are multiples.

    All tiles have one size: the last ones end at the edge, and more than two may then meet.
    """
    height, width = (side // in_unit for side in array.shape[3:])
    rows, columns = (windows(side, tile, overlap, last_at_end=True) for side in (height, width))
    spots = list(product(_weighted(rows, out_unit), _weighted(columns, out_unit)))
    if len(spots) == 1:
        return process(array)
    out = None
    for first in range(0, len(spots), batch):
        chosen = spots[first : first + batch]
        inputs = [_cut(array, row, column, in_unit) for (row, _), (column, _) in chosen]
        results = process(np.concatenate(inputs + inputs[-1:] * (batch - len(chosen))))
        for ((row, row_weight), (column, column_weight)), result in zip(chosen, np.split(results, batch)):
            if out is None:
                out = np.zeros((*result.shape[:3], height * out_unit, width * out_unit), np.float32)
            _cut(out, row, column, out_unit)[...] += result * row_weight[:, None] * column_weight
    return out


def _weighted(plan: list[Window], unit: int) -> list[tuple[Window, np.ndarray]]:
    """Each window with the weights of its samples, `unit` samples to a step of the plan."""
    return list(zip(plan, blend_weights([Window(w.start * unit, w.stop * unit) for w in plan])))


def _cut(array: np.ndarray, row: Window, column: Window, unit: int) -> np.ndarray:
    return array[..., row.start * unit : row.stop * unit, column.start * unit : column.stop * unit]
