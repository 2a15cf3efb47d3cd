"""The model behind the commands for files."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path

from mg.files import sha256
from mg.models.tae.tae import DEFAULT_WEIGHTS, TemporalAutoencoder
from mg.models.tiling.stream import Tiles

logger = logging.getLogger(__name__)

# Without tiles, as many frames as have about this many pixels together go through the networks at once.
CHUNK_PIXELS = 16 * 256 * 256


class Models:
    """The model, for one shape of tiles at a time: a model keeps its graphs, some 0.2 GB for each shape.

    weights: None takes the model that ships with the package.
    Raises InputError when the weights cannot be loaded, or tiles do not suit the model.
    """

    def __init__(self, weights: Path | str | None, dtype: str, tiles: Tiles | None):
        self.weights = DEFAULT_WEIGHTS if weights is None else Path(weights)
        self.dtype, self.tiles = dtype, tiles
        tae = TemporalAutoencoder(pretrained=self.weights, dtype=dtype, **({} if tiles is None else asdict(tiles)))
        self.config, self.compute_dtype = dict(tae.config), tae.compute_dtype
        self.compression = tae.time_compression, tae.space_compression
        self.sha256 = sha256(self.weights)
        self.tae = self.key = None
        self._dropped = 0

    @property
    def graphs(self) -> int:
        """How many graphs were compiled so far."""
        return self._dropped + (0 if self.tae is None else self.tae.graphs)

    def get(self, frames: int, height: int, width: int) -> TemporalAutoencoder:
        """A model whose tiles suit a clip, and which has compiled graphs for clips like it, or none yet."""
        tiles = self.tiles or _whole_frames(*self.compression, height, width)
        window = frames if frames <= tiles.encode_tile else tiles.encode_tile + 2 * tiles.encode_context
        key = (tiles, window, *(min(side, tiles.spatial_tile) for side in (height, width)))
        if self.key != key:
            self._dropped = self.graphs
            self.tae = self.key = None  # frees the graphs of the last shape before new ones are made
            self.tae = TemporalAutoencoder(pretrained=self.weights, dtype=self.dtype, **asdict(tiles))
            self.key = key
            logger.info("compiling for %d frames of %dx%d", key[1], key[3], key[2])
        return self.tae


def seed_of(name: str, seed: int) -> int:
    """A seed of the clip's own, whichever rank has it and whatever came before."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).digest()[:8], "little")


def _whole_frames(time: int, space: int, height: int, width: int) -> Tiles:
    """Windows over time that do not overlap, of about CHUNK_PIXELS pixels, with frames left whole."""
    frames = max(1, CHUNK_PIXELS // (height * width * time)) * time
    side = -(-max(height, width) // space) * space
    in_time = {"encode_tile": frames, "encode_context": 0, "decode_tile": frames, "decode_overlap": 0}
    return Tiles(**in_time, spatial_tile=side, spatial_overlap=0)
