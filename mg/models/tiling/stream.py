"""Encoding and decoding in tiles, for any model: clips of any length and size, in bounded memory.

Arrays on the host are fp32, (B, C, T, H, W). A model says what it compresses and computes one tile; see `Codec`.
Nothing is kept on the model: all that a stream remembers lives in its generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mg.checks import require_whole
from mg.errors import InputError
from mg.models.tiling.space import SpaceTiles
from mg.models.tiling.plan import BLENDS, check_multiple, check_tile
from mg.models.tiling.time import TimeWindows


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
    time_blend, spatial_blend: how weights change over what two tiles share; see `mg.models.tiling.plan.rising`.
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

    H and W are padded to multiples of the compression by repeating the last row and column. At most one window of
    frames with its context, and one piece, are held. Raises InputError for an empty stream and for a piece of another
    size.
    """
    unit = codec.space_compression
    sizes = tiles.encode_tile, tiles.encode_overlap, tiles.encode_context
    time = _time_windows(codec, tiles, sizes, codec.frames, _same)
    space = _space_tiles(codec, tiles, unit, 1, codec.encode_tile)
    yield from time.process(_frames(clips, unit), space.process)


def decode_stream(codec: Codec, tiles: Tiles, latents: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames (B, 3, T, H, W), those of one latent frame at a time, of latents that come in pieces (B, z, t, h, w).

    At most one window of frames is held, and raised is what `encode_stream` raises.
    """
    time = _time_windows(codec, tiles, (tiles.decode_tile, tiles.decode_overlap, 0), _same, codec.frames)
    space = _space_tiles(codec, tiles, 1, codec.space_compression, codec.decode_tile)
    yield from time.process(_frames(latents, 1), space.process)


def _time_windows(
    codec: Codec, tiles: Tiles, sizes: tuple[int, int, int], into: Callable[[int], int], out: Callable[[int], int]
) -> TimeWindows:
    """sizes: tile, overlap and context, in frames."""
    in_latents = (size // codec.time_compression for size in sizes)
    return TimeWindows(*in_latents, into, out, tiles.time_blend)


def _space_tiles(
    codec: Codec, tiles: Tiles, in_unit: int, out_unit: int, compute: Callable[..., tuple[np.ndarray, Any]]
) -> SpaceTiles:
    in_units = (size // codec.space_compression for size in (tiles.spatial_tile, tiles.spatial_overlap))
    return SpaceTiles(
        *in_units, tiles.spatial_blend, tiles.tile_batch, tiles.shared_statistics, in_unit, out_unit, compute
    )


def _frames(pieces: Iterable[np.ndarray], unit: int) -> Iterator[np.ndarray]:
    """Frames of pieces of one size, with rows and columns up to a multiple of `unit`: the last ones, repeated."""
    size = None
    for piece in pieces:
        size, before = (*piece.shape[:2], "T", *piece.shape[3:]), size
        if before not in (None, size):
            raise InputError(f"a stream of {before} goes on with {size}; all its pieces must have one size")
        below, right = -piece.shape[3] % unit, -piece.shape[4] % unit
        for index in range(piece.shape[2]):  # a piece may be a whole clip, which is not to be copied as one
            yield np.pad(piece[:, :, index : index + 1], ((0, 0), (0, 0), (0, 0), (0, below), (0, right)), mode="edge")


def _same(latent_frames: int) -> int:
    return latent_frames
