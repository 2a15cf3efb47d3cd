"""What a video holds: its frames, when each is shown, where decoding can begin. Found by decoding it once."""

from __future__ import annotations

import logging
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from itertools import islice
from pathlib import Path
from threading import Lock

import av
import numpy as np

from mg.errors import InputError
from mg.files import whole_file
from mg.io.reader import Video
from mg.io.timing import NO_STAMP, Timing, timing_of

logger = logging.getLogger(__name__)

_VERSION = f"1 {av.__version__}"  # what is found depends on FFmpeg
_MOST_FRAMES = 8_000_000  # of all indexes that are kept in memory, some 130 MB
_ROWS = 4  # every so many-th row of a picture is summed up


@dataclass
class Index:
    """Of each frame in the order shown: time in ticks (int64, NO_STAMP where there is none), whether it is a key frame,
    and a checksum of its picture (uint32). last: ticks of the last one, 0 if unknown.

    whole: False if only the first frames were looked at. decord_agrees: whether decord gives all of its frames, None if
    that is not known. way: how windows are read, see `mg.io.by_number`.
    """

    stamps: np.ndarray
    keys: np.ndarray
    sums: np.ndarray
    last: int
    tick: Fraction
    rates: tuple[Fraction, ...]
    clock: str
    whole: bool = True
    decord_agrees: bool | None = None
    way: int = field(default=0, compare=False)
    _timing: Timing | None = field(default=None, compare=False)

    @property
    def frames(self) -> int:
        return len(self.stamps)

    @property
    def is_ordered(self) -> bool:
        """Whether every frame has a time of its own, so that it can be told by it."""
        return bool((self.stamps != NO_STAMP).all() and (np.diff(self.stamps) > 0).all())

    def number_at(self, stamp: int | None) -> int:
        """Number of the frame of this time, -1 if there is none; of an ordered file."""
        number = int(np.searchsorted(self.stamps, NO_STAMP if stamp is None else stamp))
        return number if number < self.frames and self.stamps[number] == stamp else -1

    def timing(self, path: Path, frames: int | None = None) -> Timing:
        """When the first so many frames are shown; None: all. Raises InputError for a file that says nothing of it."""
        if frames is None and self._timing is not None:
            return self._timing
        count = self.frames if frames is None else min(frames, self.frames)
        last = self.last
        if count < self.frames and NO_STAMP not in self.stamps[count - 1 : count + 1]:
            last = max(0, int(self.stamps[count] - self.stamps[count - 1]))
        timing = timing_of(self.stamps[:count], last, self.tick, self.rates, self.clock)
        if timing is None:
            raise InputError(f"'{path}' does not say its frame rate; convert it to MP4 first")
        if frames is None:
            self._timing = timing
        return timing


class Store:
    """Indexes of this process's videos, and, with a folder, of others before it."""

    def __init__(self):
        self._kept: OrderedDict[tuple[str, int, int], Index] = OrderedDict()
        self._lock = Lock()

    def find(self, video: Video, folder: Path | None = None, frames: int | None = None) -> Index:
        """The index of an open video, which is left at its start: known, or made by decoding it through.

        frames: enough if it is of the first so many. Raises InputError for damage.
        """
        key = _key(video.path)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        index = None if folder is None else _read(_file(folder, key))
        if index is None:
            index = scan(video, frames)
            video.rewind()
            if index.whole:
                self.keep(video, index, folder)
            return index
        self.keep(video, index, None)
        return index

    def keep(self, video: Video, index: Index, folder: Path | None) -> None:
        """Keep it in memory, and in a folder if there is one."""
        key = _key(video.path)
        with self._lock:
            self._kept[key] = index
            while len(self._kept) > 1 and sum(one.frames for one in self._kept.values()) > _MOST_FRAMES:
                self._kept.popitem(last=False)
        if folder is not None:
            _write(_file(folder, key), index)


STORE = Store()


def scan(video: Video, frames: int | None = None) -> Index:
    """Decode a video from its start, or only so many frames and one more. Raises InputError for damage."""
    rows, last = [], 0
    for picture in islice(video.pictures(), None if frames is None else frames + 1):
        stamp = NO_STAMP if picture.pts is None else picture.pts
        rows.append((stamp, picture.key_frame, checksum(picture)))
        last = picture.duration or 0
    stamps, keys, sums = zip(*rows)
    return Index(
        *(np.array(stamps, np.int64), np.array(keys, bool), np.array(sums, np.uint32)),
        *(int(last), video.tick, tuple(video.rates), video.clock),
        whole=frames is None or len(rows) <= frames,
    )


def checksum(picture: av.VideoFrame) -> int:
    """Of some rows of the first plane, which tell whether it was decoded as before."""
    plane, layout = picture.planes[0], picture.format
    wide = plane.width * layout.components[0].bits // 8 * (len(layout.components) if len(picture.planes) == 1 else 1)
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, plane.line_size)
    return zlib.crc32(np.ascontiguousarray(rows[::_ROWS, : min(wide, plane.line_size)]))


def _key(path: Path) -> tuple[str, int, int]:
    """What tells a file from what was there before."""
    stat = path.stat()
    return str(path.absolute()), stat.st_mtime_ns, stat.st_size


def _file(folder: Path, key: tuple[str, int, int]) -> Path:
    return Path(folder) / f"{sha256(repr((key, _VERSION)).encode()).hexdigest()}.npz"


def _write(file: Path, index: Index):
    text = {"tick": str(index.tick), "rates": " ".join(map(str, index.rates)), "decord": str(index.decord_agrees)}
    numbers = {name: getattr(index, name) for name in ("stamps", "keys", "sums", "last", "clock")}
    with whole_file(file) as part:
        np.savez(part, **numbers, **text)


def _read(file: Path) -> Index | None:
    """None where there is none, or a damaged one, which is written anew."""
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as found:
            return Index(
                *(found[name] for name in ("stamps", "keys", "sums")),
                *(int(found["last"]), Fraction(str(found["tick"]))),
                *(tuple(map(Fraction, str(found["rates"]).split())), str(found["clock"])),
                decord_agrees={"True": True, "False": False}.get(str(found["decord"])),
            )
    except Exception as error:  # NumPy, zipfile and zlib have errors of their own
        logger.warning("'%s' is no index of a video (%s); it is made anew", file, error)
        return None
