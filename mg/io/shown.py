"""Decoded pictures as they are meant to be seen: upright, with square pixels, in RGB."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from mg.errors import InputError
from mg.io.cropping import Crop

logger = logging.getLogger(__name__)

_BT709 = 1
# Numbers of ITU-T H.273.
_UNKNOWN_MATRICES = {8: "YCgCo", 10: "BT.2020 with constant luminance", 11: "SMPTE 2085", 14: "ICtCp"}
_UNKNOWN_MATRICES.update({12: "chromaticity-derived", 13: "chromaticity-derived, constant luminance"})
_BT2020 = 9
_CURVES = {16: "PQ (HDR10)", 18: "HLG"}
_GAMUTS = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_NEARLY_SQUARE = Fraction(1, 100)
_MOST_ASPECT = Fraction(10)
_NEWER = 12  # kinds of what accompanies pictures that FFmpeg may know beyond those of PyAV, which are numbered


class Shown:
    """How the pictures of one video become frames.

    aspect: width of a pixel over its height, None where unknown. crop: what is cut off each picture.
    """

    def __init__(self, path: Path, aspect: Fraction | None, crop: Crop):
        self._path, self._crop, self._converter = path, crop, VideoReformatter()
        oblong = aspect is not None and aspect > 0 and abs(aspect - 1) > _NEARLY_SQUARE
        self._aspect = Fraction(aspect) if oblong else Fraction(1)
        self._told = False

    def rgb(self, picture: av.VideoFrame) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises InputError for colours and orientations that cannot be had."""
        if not self._told:
            self._tell(picture)
            self._told = True
        width, height = square_size(picture.width, picture.height, self._aspect)
        if not 1 / _MOST_ASPECT <= self._aspect <= _MOST_ASPECT:
            raise InputError(
                f"'{self._path}' has pixels of {self._aspect}, which is no shape of pixels; convert it first"
            )
        if picture.colorspace in _UNKNOWN_MATRICES:
            name = _UNKNOWN_MATRICES[picture.colorspace]
            raise InputError(f"'{self._path}' has colours in {name}, which is not read; convert it to BT.709 first")
        options = {"format": "rgb24", "width": width, "height": height}
        if self._aspect != 1:
            options["interpolation"] = Interpolation.BICUBIC
        if picture.colorspace in (_BT709, _BT2020):
            # Both tables are named because older PyAV sets neither when they are the same.
            options["src_colorspace"] = Colorspace.ITU709 if picture.colorspace == _BT709 else _BT2020
            options["dst_colorspace"] = Colorspace.ITU601
        frame = self._cropped(self._converter.reformat(picture, **options).to_ndarray(), picture)
        return np.ascontiguousarray(_turned(self._path, frame, picture))

    def _cropped(self, frame: np.ndarray, picture: av.VideoFrame) -> np.ndarray:
        if not any(self._crop):
            return frame
        top, bottom, left, right = self._crop
        wide, high = picture.width - left - right, picture.height - top - bottom
        width, height = square_size(wide, high, self._aspect)
        left, top = left * frame.shape[1] // picture.width, top * frame.shape[0] // picture.height
        return frame[top : top + height, left : left + width]

    def _tell(self, picture: av.VideoFrame) -> None:
        if self._aspect != 1:
            size = "{}x{}".format(*square_size(picture.width, picture.height, self._aspect))
            stored = f"{picture.width}x{picture.height} with pixels of {self._aspect}"
            say_once(f"'{self._path}' is stored as {stored}; it is read as {size} with square ones")
        tags = [_CURVES.get(int(picture.color_trc or 0)), _GAMUTS.get(int(picture.color_primaries or 0))]
        if any(tags):
            say_once(f"'{self._path}' has colours in {' and '.join(filter(None, tags))}; they are read as if in BT.709")


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """(width, height) of a picture once its pixels are square: the side that is too short grows; even stays even."""
    if aspect >= 1:
        return _scaled(width, aspect), height
    return width, _scaled(height, 1 / aspect)


@lru_cache(maxsize=4096)
def say_once(message: str) -> None:
    """Warn, but of each file only the first time in a process: training reads it again and again."""
    logger.warning(message)


def _scaled(side: int, by: Fraction) -> int:
    return round(side * by) if side % 2 else 2 * round(side * by / 2)


def _turned(path: Path, frame: np.ndarray, picture: av.VideoFrame) -> np.ndarray:
    """Mirrored, transposed, or turned as the display matrix says."""
    try:
        data = picture.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # as PyAV has for all of it if a part, such as EXIF, is of a kind that it does not know
        data = _without_unknown(picture).side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return frame
    # (x, y) goes to (a x + c y, b x + d y), with y counted downwards.
    a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()
    if a * d == b * c:
        return frame  # no matrix of a picture; FFmpeg ignores it as well
    across = abs(b * c) > abs(a * d)
    if max(abs(n) for n in ((a, d) if across else (b, c))) > 0.01 * max(abs(n) for n in (a, b, c, d)):
        raise InputError(f"'{path}' is to be shown slanted, turned by no multiple of 90 degrees; convert it first")
    along_x, along_y = (c, b) if across else (a, d)
    frame = frame.transpose(1, 0, 2) if across else frame
    return frame[:: -1 if along_y < 0 else 1, :: -1 if along_x < 0 else 1]


def _without_unknown(picture: av.VideoFrame) -> av.VideoFrame:
    """A picture without what accompanies it that PyAV has no name for."""
    first, graph = max(kind.value for kind in Type) + 1, av.filter.Graph()
    size = {"width": picture.width, "height": picture.height, "format": picture.format.name}
    filters = [graph.add_buffer(**size, time_base=Fraction(1, 24))]
    filters += [graph.add("sidedata", f"mode=delete:type={number}") for number in range(first, first + _NEWER)]
    graph.link_nodes(*filters, graph.add("buffersink")).configure()
    graph.push(picture)
    return graph.pull()
