"""Sizes of tiles and windows, and what tiling needs to know of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from mg.checks import require_whole
from mg.errors import InputError
from mg.models.tiling.plan import BLENDS, check_multiple, check_tile

TIME_MODES = ("blend", "restart", "carry")


class Codec(Protocol):
    """What tiling needs to know of a model. Arrays are fp32, (B, C, T, H, W).

    `state` is what the model handed back for the same tile of the window before, and None at first: a causal model's
    cache. It goes along only where windows carry it on.
    `reference` is one clip of a tile's size that stands for the whole frames the tiles are cut from, or None:
    statistics over H and W are then its own, in every tile, so that tiles agree.
    time_modes: those of TIME_MODES that are right for the model.
    """

    space_compression: int
    time_modes: Sequence[str]

    def window_latents(self, frames: int) -> int:
        """How many latent frames so many frames become in one window; 0 for 0."""

    def window_frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames become in one window, at most; 0 for 0."""

    def encode_tile(
        self, clip: np.ndarray, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, 3, T, H, W) in [-1, 1], H and W multiples of the compression -> raw output (B, C, t, h, w), state."""

    def decode_tile(
        self, latents: np.ndarray, frames: int, state: Any = None, reference: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """(B, z, t, h, w) -> (B, 3, T, H, W), T at least the number of frames asked for, state."""


@dataclass(frozen=True)
class Tiles:
    """Sizes of tiles and of what neighbours share, in frames and pixels.

    encode_context: so many frames on either side of a window are encoded with it, and their latents dropped, so that
    latents hardly depend on where windows end.
    tile_batch: so many tiles of one range of frames go through the model at once.
    time_mode: how windows follow each other: blend, restart or carry; see `mg.models.tiling.time.Timeline`.
    time_blend, spatial_blend: how weights change over what two tiles share; see `mg.models.tiling.plan.rising`.
    shared_statistics: whether all tiles of a frame are normalised alike, by a sample of the whole frame that goes
    through the model with every batch of tiles.
    """

    encode_tile: int = 32
    encode_overlap: int = 0
    encode_context: int = 8
    decode_tile: int = 32
    decode_overlap: int = 16
    spatial_tile: int = 256
    spatial_overlap: int = 64
    tile_batch: int = 1
    time_mode: str = "blend"
    time_blend: str = "cosine"
    spatial_blend: str = "cosine"
    shared_statistics: bool = False

    def check(self, codec: Codec) -> None:
        """Raise InputError, naming the field, for sizes that `codec` cannot use."""
        first, step, side = codec.window_frames(1), self._step(codec), codec.space_compression
        check_tile("encode_tile", self.encode_tile, self.encode_overlap, first, step)
        check_tile("decode_tile", self.decode_tile, self.decode_overlap, first, step)
        check_tile("spatial_tile", self.spatial_tile, self.spatial_overlap, side, side)
        check_multiple("encode_context", self.encode_context, 0, step)
        require_whole("tile_batch", self.tile_batch, 1)
        choices = {"time_mode": codec.time_modes, "time_blend": BLENDS, "spatial_blend": BLENDS}
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise InputError(f"{field}={getattr(self, field)!r} is unknown; use one of {', '.join(allowed)}")
        if not isinstance(self.shared_statistics, bool):
            raise InputError(f"shared_statistics={self.shared_statistics!r} must be True or False")
        shared = [field for field in ("encode_overlap", "encode_context", "decode_overlap") if getattr(self, field)]
        if self.time_mode != "blend" and shared:
            raise InputError(
                f"{shared[0]}={getattr(self, shared[0])}, but with time_mode={self.time_mode} windows share nothing; "
                f"set {' and '.join(shared)} to 0"
            )
        if self.time_mode == "carry" and self.shared_statistics:
            raise InputError("shared_statistics=True needs another time_mode than carry; leave one of them out")

    def but(self, **sizes: Any) -> Tiles:
        """The same with other values for some fields. Raises InputError for a name that is no field."""
        known = [field.name for field in fields(self)]
        unknown = [name for name in sizes if name not in known]
        if unknown:
            raise InputError(f"unknown size of tiles: {', '.join(unknown)}; known are {', '.join(known)}")
        return replace(self, **sizes)

    def in_latents(self, codec: Codec, frames: int) -> int:
        """Overlaps and context in latent frames."""
        return frames // self._step(codec)

    @staticmethod
    def _step(codec: Codec) -> int:
        """Frames of every latent frame but the first."""
        return codec.window_frames(2) - codec.window_frames(1)
