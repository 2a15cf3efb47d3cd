"""The one way in which a clip goes through a model on the host: for commands, the page, caches and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from mg import runtime
from mg.errors import InputError
from mg.models.autoencoder import Autoencoder
from mg.models.tiling.tiles import Tiles

# Without tiles, as many frames as have about this many pixels together go through the networks at once.
CHUNK_PIXELS = 16 * 256 * 256


class Session:
    """A model at work, with graphs for one shape of tiles at a time: they take some 0.2 GB for each shape.

    use_tile: False leaves frames whole, in windows over time that share nothing, of about CHUNK_PIXELS pixels; a model
    whose windows are not to be chosen keeps them. Of a clip that is no larger than a tile both are the same.
    """

    def __init__(self, model: Autoencoder, use_tile: bool = True):
        self.model, self.use_tile = model, use_tile
        self.tiles = model.tiles
        self.graphs = 0
        self._seen, self._shape = model.graphs, None

    def shape_of(self, frames: int, height: int, width: int) -> tuple:
        """What graphs for a clip depend on: clips of equal ones are computed by the same."""
        tiles = self.tiles if self.use_tile else self._whole_frames(height, width)
        filled = self.model.filled(frames)
        windows = min(filled, tiles.encode_window + 2 * tiles.encode_context), min(filled, tiles.decode_window)
        unit = self.model.space_compression
        padded = [-(-side // unit) * unit for side in (height, width)]
        most = tiles.spatial_tile if tiles.spatial_mode == "blend" else max(padded)
        return (tiles, windows, *(min(side, most) for side in padded))

    def prepare(self, frames: int, height: int, width: int) -> bool:
        """Get ready for a clip of about so many frames; whether its graphs are yet to be compiled.

        Graphs of another shape are let go of. Raises InputError for frames that are too small.
        """
        if min(height, width) < self.model.min_size:
            raise InputError(
                f"frames of {width}x{height} are too small: sides of at least {self.model.min_size} are needed; "
                "use --image_size"
            )
        shape = self.shape_of(frames, height, width)
        self.model.tiles = shape[0]
        if self._shape == shape:
            return False
        self.model.release_graphs()
        self._seen, self._shape = 0, shape
        return True

    def follow(self, windows: Mapping[str, Any] | None) -> None:
        """Decode as latents were encoded: in the windows that their file names, where these are clips of their own.

        windows: see `Tiles.windows`; None, of files that name none, leaves them as they are. Raises InputError for
        windows that the model does not take.
        """
        if windows is None:
            return
        if not isinstance(windows, Mapping):
            raise InputError(f"windows={windows!r:.60} of latents must be fields of tiles; encode the clip again")
        tiles = self.tiles.but(**windows)
        tiles.fit(self.model)
        self.tiles = tiles

    @property
    def compile_time(self) -> str:
        """About how long it takes to compile for a new shape, both ways, in words."""
        return runtime.compiling(len(list(self.model.get_parameters())))

    def encode(self, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Raw output (B, C, t, h, w), piece by piece, of a clip in pieces (B, 3, T, H, W) in [-1, 1]."""
        return self._counted(self.model.raw_stream(clips))

    def decode(
        self, latents: Iterable[np.ndarray], frames: int | Callable[[], int] | None = None
    ) -> Iterator[np.ndarray]:
        """Clips (B, 3, T, H, W), piece by piece, of latents (B, z, t, h, w) that may still be read.

        Raises InputError for a value that is not finite.
        """
        for clip in self._counted(self.model.clip_stream(latents, frames)):
            if not np.isfinite(clip).all():
                raise InputError(f"what is decoded is not finite in {self.model.compute_dtype}; use --dtype fp32")
            yield clip
            del clip

    def _counted(self, pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The pieces, while graphs that are compiled for them are counted, each once: pieces may be of other pieces."""
        for piece in pieces:
            self._count()
            yield piece
            del piece
        self._count()

    def _count(self) -> None:
        there = self.model.graphs
        self.graphs += max(0, there - self._seen)
        self._seen = there

    def _whole_frames(self, height: int, width: int) -> Tiles:
        tiles, space = self.tiles, self.model.space_compression
        whole = {"spatial_mode": "blend", "spatial_tile": -(-max(height, width) // space) * space, "spatial_overlap": 0}
        if tiles.time_mode != "blend":
            return tiles.but(**whole)
        frames = self.model.window_frames(max(1, CHUNK_PIXELS // (height * width * self.model.time_compression)))
        over_time = {"encode_tile": frames, "encode_context": 0, "encode_overlap": 0}
        return tiles.but(**over_time, decode_tile=frames, decode_overlap=0, **whole)
