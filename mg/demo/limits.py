"""What a stranger's upload may cost: checked for every request, before the model sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mg.checks import is_whole
from mg.errors import InputError
from mg.inference.options import MAX_SIZE
from mg.models.tae.inputs import MIN_SIZE
from mg.models.tiling.stream import Tiles

_SMALLEST_TILE = 64


@dataclass(frozen=True)
class Request:
    """What a visitor asks for.

    size: side of the square that frames are scaled and cropped to; None keeps what they show.
    sample: decode a sample of the posterior instead of its mean.  tiles: None leaves frames whole.
    """

    source: Path
    num_frames: int
    size: int | None = None
    sample: bool = False
    tiles: Tiles | None = None


@dataclass(frozen=True)
class Limits:
    """max_frames: of a clip, the rest is cut off.  max_side: of frames, in pixels; larger ones are scaled down.

    max_megabytes: of an upload.
    """

    max_frames: int = 64
    max_side: int = 512
    max_megabytes: int = 200

    def __post_init__(self):
        if self.max_frames < 1:
            raise InputError(f"max_frames={self.max_frames} must be at least 1")
        if not MIN_SIZE <= self.max_side <= MAX_SIZE:
            raise InputError(f"max_side={self.max_side} must be from {MIN_SIZE} to {MAX_SIZE}")
        if self.max_megabytes < 1:
            raise InputError(f"max_megabytes={self.max_megabytes} must be at least 1")

    def check(self, request: Request) -> None:
        """Raise InputError, naming the field, for what this page does not do."""
        _require_whole("number of frames", request.num_frames, 1, self.max_frames)
        if request.size is not None:
            _require_whole("size", request.size, MIN_SIZE, self.max_side)
        if request.tiles is not None:
            self._check_tiles(request.tiles)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a frame is given: its own, or even ones with the longer side max_side."""
        longest = max(height, width)
        if longest <= self.max_side:
            return height, width
        return tuple(max(1, round(side * self.max_side / longest / 2)) * 2 for side in (height, width))

    def _check_tiles(self, tiles: Tiles) -> None:
        """Memory grows with a tile's volume, time with overlaps and with the number of tiles."""
        _require_whole("spatial_tile", tiles.spatial_tile, _SMALLEST_TILE, max(self.max_side, Tiles.spatial_tile))
        for name in ("encode", "decode"):
            frames = getattr(tiles, f"{name}_tile")
            _require_whole(f"{name}_tile", frames, 1, max(self.max_frames, Tiles.encode_tile))
            if frames * tiles.spatial_tile**2 > self._most_pixels():
                raise InputError(
                    f"{name}_tile={frames} with spatial_tile={tiles.spatial_tile} is more than this page computes at "
                    f"once ({self._most_pixels()} pixels); choose a smaller one of the two"
                )
        for name in ("encode", "decode", "spatial"):
            tile, overlap = getattr(tiles, f"{name}_tile"), getattr(tiles, f"{name}_overlap")
            _require_whole(f"{name}_overlap", overlap, 0, tile // 2)

    def _most_pixels(self) -> int:
        """Of a tile: as many as the default tile has, or as 8 whole frames of the largest size."""
        return max(Tiles.encode_tile * Tiles.spatial_tile**2, 8 * self.max_side**2)


def _require_whole(name: str, value: int, least: int, most: int) -> None:
    if not is_whole(value) or not least <= value <= most:
        raise InputError(f"{name}={value!r} must be a whole number from {least} to {most} on this page")
