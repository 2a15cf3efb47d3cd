"""What a stranger's upload may cost: checked for every request, before the model sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mg.checks import require_whole
from mg.config import check, setting
from mg.errors import InputError
from mg.io.frames import SIDES
from mg.models.tiling.tiles import Tiles

_SMALLEST_TILE = 64


@dataclass(frozen=True)
class Request:
    """What a visitor asks for.

    size: side of the square that frames are scaled and cropped to; None keeps what they show.
    sample: decode a sample of the posterior instead of its mean.  tiles: sizes of tiles and what they share; None takes
    the model's own.  use_tile: False leaves frames whole.
    """

    source: Path
    num_frames: int
    size: int | None = None
    sample: bool = False
    tiles: Tiles | None = None
    use_tile: bool = True


@dataclass(frozen=True)
class Address:
    """Where the page is, and under which other names: those of a proxy in front of it."""

    host: str = setting("127.0.0.1", "to listen on; 0.0.0.0: for everybody who reaches this computer")
    port: int = setting(7860, "to listen on", 1, 65535)
    allow_host: tuple[str, ...] = setting((), "other names under which it may be asked for, such as a proxy's")

    __post_init__ = check


@dataclass(frozen=True)
class Limits:
    """Limits of what a visitor may ask for."""

    max_frames: int = setting(64, "of a clip; the rest is cut off", least=1, unit="frames")
    max_side: int = setting(512, "of frames; larger ones are scaled down", *SIDES, unit="pixels")
    max_megabytes: int = setting(200, "of an upload", least=1, most=100_000, unit="MB")

    __post_init__ = check

    def allow(self, request: Request) -> None:
        """Raise InputError, naming the field, for what this page does not do."""
        _require_whole("number of frames", request.num_frames, 1, self.max_frames)
        if request.size is not None:
            _require_whole("size", request.size, SIDES[0], self.max_side)
        if request.use_tile and request.tiles is not None:
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
            computed = frames + (2 * tiles.encode_context if name == "encode" else 0)
            if computed * tiles.spatial_tile**2 > self._most_pixels():
                raise InputError(
                    f"{name}_tile={frames} with spatial_tile={tiles.spatial_tile} is more than this page computes at "
                    f"once ({self._most_pixels()} pixels); choose a smaller one of the two"
                )
        for name in ("encode", "decode", "spatial"):
            tile, overlap = getattr(tiles, f"{name}_tile"), getattr(tiles, f"{name}_overlap")
            _require_whole(f"{name}_overlap", overlap, 0, tile // 2)

    def _most_pixels(self) -> int:
        """Of a tile with its context: as many as the default has, or as 12 whole frames of the largest size."""
        default = Tiles()
        window = default.encode_tile + 2 * default.encode_context
        return max(window * default.spatial_tile**2, 12 * self.max_side**2)


def _require_whole(name: str, value: int, least: int, most: int) -> None:
    try:
        require_whole(name, value, least, most)
    except InputError as error:
        raise InputError(f"{error} on this page") from None
