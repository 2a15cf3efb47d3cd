"""Sizes of tiles and windows, and what tiling needs to know of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np

from mg.config import check, setting
from mg.errors import InputError
from mg.models.tiling.plan import BLENDS, check_multiple, check_tile

TIME_MODES = ("blend", "restart", "carry", "whole")
SPATIAL_MODES = ("blend", "paste")
ENDLESS = 2**30  # frames: longer than any clip


class Codec(Protocol):
    """What tiling needs to know of a model. Arrays are fp32, (B, C, T, H, W).

    `state` is what the model handed back for the same tile of the window before, and None at first: a causal model's
    cache. It goes along only where windows carry it on.
    `reference` is one clip of a tile's size that stands for the whole frames the tiles are cut from, or None:
    statistics over H and W are then its own, in every tile, so that tiles agree.
    time_modes: those of TIME_MODES that are right for the model. time_compression: frames of every latent frame but the
    first.
    """

    space_compression: int
    time_compression: int
    time_modes: Sequence[str]

    def window_latents(self, frames: int) -> int:
        """How many latent frames so many frames become in one window; 0 for 0."""

    def window_frames(self, latent_frames: int) -> int:
        """How many frames so many latent frames become in one window, at most; 0 for 0."""

    def filled(self, frames: int) -> int:
        """How many frames a clip of so many is encoded as, its last one repeated."""

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
    """Tiles: how large they are and what neighbours share.

    What is larger than a tile is computed in tiles, one after the other, and blended. Families have defaults of their
    own. With context, latents hardly depend on where windows end.

    spatial_mode paste: slices instead of tiles, laid side by side. For each side of a frame the size is chosen, of
    max_size, max_size - divide, ... min_size, that leaves least of it, which is cropped away; around the frame lie
    zeros, and a slice is encoded with a quarter of its side more on each side. Latents likewise, in whole parts.
    """

    encode_tile: int = setting(32, "length of an encoded window", least=1, unit="frames")
    encode_overlap: int = setting(0, "what two of them share", least=0, unit="frames")
    encode_context: int = setting(8, "encoded with it on either side, and dropped", least=0, unit="frames")
    decode_tile: int = setting(32, "length of a decoded window", least=1, unit="frames")
    decode_overlap: int = setting(16, "what two of them share", least=0, unit="frames")
    spatial_tile: int = setting(256, "side of a tile", least=1, unit="pixels")
    spatial_overlap: int = setting(64, "what two of them share", least=0, unit="pixels")
    tile_batch: int = setting(1, "tiles of one window that are computed at once", least=1)
    time_mode: str = setting("blend", "how windows follow each other, as far as a model can", choices=TIME_MODES)
    time_blend: str = setting("cosine", "how weights change over what two windows share", choices=BLENDS)
    spatial_blend: str = setting("cosine", "how weights change over what two tiles share", choices=BLENDS)
    shared_statistics: bool = setting(False, "normalise all tiles of a frame by a sample of the whole frame")
    spatial_mode: str = setting("blend", "tiles that overlap, or slices, see above", choices=SPATIAL_MODES)
    max_size: int = setting(512, "largest slice", least=1, unit="pixels")
    min_size: int = setting(320, "smallest slice", least=1, unit="pixels")
    divide: int = setting(32, "from one size of slices to the next", least=1, unit="pixels")
    max_latent_size: int = setting(64, "largest slice that is decoded", least=1, unit="latents")
    min_latent_size: int = setting(32, "smallest slice that is decoded", least=1, unit="latents")

    __post_init__ = check

    def fit(self, codec: Codec) -> None:
        """Raise InputError, naming the field, for sizes that `codec` cannot use."""
        if self.time_mode not in codec.time_modes:
            raise InputError(
                f"time_mode={self.time_mode} is not right for this model; use one of {', '.join(codec.time_modes)}"
            )
        first, step, side = codec.window_frames(1), codec.time_compression, codec.space_compression
        if self.separate and first == step:
            first = step = 1  # windows that are clips of their own are of any length, as clips are
        check_tile("encode_tile", self.encode_tile, self.encode_overlap, first, step)
        check_tile("decode_tile", self.decode_tile, self.decode_overlap, first, step)
        check_tile("spatial_tile", self.spatial_tile, self.spatial_overlap, side, side)
        check_multiple("encode_context", self.encode_context, 0, codec.time_compression)
        shared = [field for field in ("encode_overlap", "encode_context", "decode_overlap") if getattr(self, field)]
        if self.time_mode != "blend" and shared:
            raise InputError(
                f"{shared[0]}={getattr(self, shared[0])}, but with time_mode={self.time_mode} windows share nothing; "
                f"set {' and '.join(shared)} to 0"
            )
        if self.time_mode == "restart" and self.encode_tile != self.decode_tile:
            raise InputError(
                f"encode_tile={self.encode_tile} and decode_tile={self.decode_tile} must be one number with "
                "time_mode=restart: a window is decoded as it was encoded; set both"
            )
        if self.spatial_mode == "paste":
            self._fit_slices(4 * side)
        if self.time_mode == "carry" and self.shared_statistics:
            raise InputError("shared_statistics=True needs another time_mode than carry; leave one of them out")

    def _fit_slices(self, unit: int) -> None:
        """A quarter of a slice must be whole latents."""
        for name in ("max_size", "divide"):
            check_multiple(name, getattr(self, name), 1, unit)
        for largest, smallest in (("max_size", "min_size"), ("max_latent_size", "min_latent_size")):
            if getattr(self, smallest) > getattr(self, largest):
                raise InputError(f"{smallest}={getattr(self, smallest)} is more than {largest}; lower it")
        if self.shared_statistics:
            raise InputError("shared_statistics=True is of tiles; leave it or spatial_mode=paste out")

    @property
    def separate(self) -> bool:
        """Whether windows over time are clips of their own: what they become depends on where they end."""
        return self.time_mode in ("restart", "whole")

    @property
    def windows(self) -> dict[str, Any]:
        """The fields that say where windows end which are clips of their own; empty where windows are none."""
        if not self.separate:
            return {}
        return {"time_mode": self.time_mode, "encode_tile": self.encode_tile, "decode_tile": self.decode_tile}

    @property
    def encode_window(self) -> int:
        """How many frames are encoded in one at most, without context."""
        return ENDLESS if self.time_mode == "whole" else self.encode_tile

    @property
    def decode_window(self) -> int:
        """How many frames are decoded in one at most."""
        return ENDLESS if self.time_mode == "whole" else self.decode_tile

    def but(self, **sizes: Any) -> Tiles:
        """The same with other values for some fields. Raises InputError for a name that is no field."""
        known = [field.name for field in fields(self)]
        unknown = [name for name in sizes if name not in known]
        if unknown:
            raise InputError(f"unknown size of tiles: {', '.join(unknown)}; known are {', '.join(known)}")
        return replace(self, **sizes)

    def in_latents(self, codec: Codec, frames: int) -> int:
        """Overlaps and context in latent frames."""
        return frames // codec.time_compression
