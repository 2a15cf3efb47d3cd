"""Latents of one clip in a file, raw and unscaled, and the index of a folder of them: the only place that knows how.

A safetensors file with `mean` and `std` (kind posterior), `z` (sample) or integer `codes` (codes), each (z, t, h, w),
and a header, JSON under the metadata key `mg`. NumPy has no bf16, so the container is written and read here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mg.errors import InputError
from mg.files import require_file, whole_file

KINDS = {"posterior": ("mean", "std"), "sample": ("z",), "codes": ("codes",)}
SUFFIX = ".safetensors"
INDEX = "index.json"
_HEADER_KEY, _FAMILY = "mg", "latents"
_FLOATS = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
_INTEGERS = {f"{sign}int{bits}": f"{sign or 'i'}{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)}
_STORED = {**_FLOATS, **_INTEGERS}
_RAW = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_RAW.update({name: f"<{name[0].lower()}{int(name[1:]) // 8}" for name in _INTEGERS.values()})
FLOAT_DTYPES = tuple(_FLOATS)


@dataclass(frozen=True)
class Header:
    """What a file says of its latents.

    kind: posterior, sample or codes. dtype: as stored: fp32, fp16, bf16, or an integer type of NumPy.
    frames, height, width: of what was encoded, before padding. fps: such as "30000/1001"; None for an image.
    source: relative name of what was encoded. tiles: sizes of tiles, or None. options: what else the values depend on.
    scaling_factor, shift_factor: a diffusion model sees (z - shift) * scaling; the file itself is not scaled.
    """

    kind: str
    dtype: str
    frames: int
    height: int
    width: int
    fps: str | None
    source: str
    tiles: Mapping[str, Any] | None
    options: Mapping[str, Any]
    weights_sha256: str
    scaling_factor: float
    shift_factor: float

    def __post_init__(self):
        _require("kind", self.kind, self.kind in tuple(KINDS), f"be one of {', '.join(KINDS)}")
        dtypes = tuple(_INTEGERS if self.kind == "codes" else _FLOATS)
        _require("dtype", self.dtype, self.dtype in dtypes, f"be one of {', '.join(dtypes)} for {self.kind}")
        for field in ("frames", "height", "width"):
            value = getattr(self, field)
            _require(field, value, type(value) is int and value >= 1, "be a whole number of at least 1")
        fine = self.frames == 1 if self.fps is None else _is_rate(self.fps)
        _require("fps", self.fps, fine, 'be a rate such as "30000/1001", or null for a single image')
        for field in ("source", "weights_sha256"):
            value = getattr(self, field)
            _require(field, value, isinstance(value, str) and value, "be text")
        for field in ("scaling_factor", "shift_factor"):
            value = getattr(self, field)
            fine = type(value) in (int, float) and math.isfinite(value) and (value or field != "scaling_factor")
            _require(field, value, fine, "be a finite number, and scaling_factor not 0")
        _require("tiles", self.tiles, self.tiles is None or isinstance(self.tiles, Mapping), "be a mapping or null")
        _require("options", self.options, isinstance(self.options, Mapping), "be a mapping")


@dataclass(frozen=True)
class Latents:
    """A header and its arrays by name, all of one shape (z, t, h, w), fp32 or the header's integer type."""

    header: Header
    arrays: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, t, h, w)."""
        return next(iter(self.arrays.values())).shape


def write_latents(path: Path | str, latents: Latents) -> None:
    """Write a file, whole or not at all.

    Raises InputError for arrays that the header does not describe, and for values that are not finite once stored.
    """
    path, header = Path(path), latents.header
    if path.suffix != SUFFIX:
        raise InputError(f"cannot write latents to '{path}': the name must end in {SUFFIX}")
    _check_shapes(path, header, {name: array.shape for name, array in latents.arrays.items()})
    for name, array in latents.arrays.items():
        fine = array.dtype == np.float32 if header.dtype in _FLOATS else str(array.dtype) == header.dtype
        if not fine:
            raise InputError(f"'{path}': {name} is {array.dtype}, but {header.dtype} is stored from it; convert it")
    content, stored, start = [], {}, 0
    for name, array in latents.arrays.items():
        content.append(_to_bytes(path, name, array, header.dtype))
        end = start + len(content[-1])
        stored[name] = {"dtype": _STORED[header.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps({"family": _FAMILY, **asdict(header)}, sort_keys=True, allow_nan=False)
    head = json.dumps({"__metadata__": {_HEADER_KEY: text}, **stored}).encode()
    head += b" " * (-len(head) % 8)
    with whole_file(path) as part:
        part.write_bytes(b"".join((len(head).to_bytes(8, "little"), head, *content)))


def read_header(path: Path | str) -> tuple[Header, tuple[int, ...]]:
    """Header and shape (z, t, h, w) of a file, without its values. Raises InputError as `read_latents` does."""
    header, entries, _ = _open_latents(path)
    return header, tuple(entries[KINDS[header.kind][0]]["shape"])


def read_latents(path: Path | str) -> Latents:
    """Read a file that `write_latents` wrote; values come back as fp32, codes as the integers they are.

    Raises InputError for a file that is missing, truncated, foreign, or does not hold what its header says.
    """
    header, entries, start = _open_latents(path)
    arrays = {name: _read(path, name, entries[name], start) for name in KINDS[header.kind]}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise InputError(f"'{path}': {broken[0]} is not finite; encode the clip again")
    return Latents(header, arrays)


def read_plain(path: Path | str) -> dict[str, np.ndarray] | None:
    """All arrays of a safetensors file of somebody else, floats as fp32; None if it has a header of ours."""
    entries, text, start = _open(path)
    return None if text is not None else {name: _read(path, name, entry, start) for name, entry in entries.items()}


def find_latents(folder: Path | str, suffixes: tuple[str, ...] = (SUFFIX,)) -> list[Path]:
    """All files below `folder` with a suffix of latents that are not hidden, sorted. InputError if there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"'{folder}' is no folder; name a cache of latents")
    found = [path for path in sorted(folder.rglob("*")) if path.suffix in suffixes and not path.name.startswith(".")]
    if not found:
        raise InputError(f"folder '{folder}' holds no latents ({' '.join(suffixes)}); scripts/encode_tae.py makes some")
    return found


_NEEDED = {"file", "shape", "weights_sha256"}


def write_index(folder: Path | str) -> list[dict[str, Any]]:
    """Write the index of a cache, a row for every file in it; returns the rows."""
    rows = []
    for path in find_latents(folder):
        header, shape = read_header(path)
        row = {"file": path.relative_to(folder).as_posix(), "source": header.source, "shape": list(shape)}
        recorded = ("frames", "height", "width", "fps", "weights_sha256")
        rows.append({**row, **{field: getattr(header, field) for field in recorded}})
    with whole_file(Path(folder) / INDEX) as part:
        part.write_text(json.dumps({"family": _FAMILY, "clips": rows}, indent=1) + "\n")
    return rows


def read_index(folder: Path | str) -> list[dict[str, Any]]:
    """Rows of a cache's index: file, source, shape, frames, height, width, fps, weights_sha256.

    Raises InputError if there is none.
    """
    path = require_file(Path(folder) / INDEX, "the index of a finished cache")
    try:
        content = json.loads(path.read_text())
        if content["family"] != _FAMILY or not all(set(row) >= _NEEDED for row in content["clips"]):
            raise ValueError("it lists no latents")
        return content["clips"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"'{path}' is no index of latents ({error}); run scripts/encode_tae.py again") from None


def _open_latents(path: Path | str) -> tuple[Header, dict[str, dict], int]:
    entries, text, start = _open(path)
    if text is None:
        raise InputError(f"'{path}' has no header under '{_HEADER_KEY}': it is not one of our files of latents")
    try:
        values = json.loads(text)
        family = values.pop("family")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _damaged(path, "its header is no mapping with a family") from None
    if family != _FAMILY:
        raise InputError(f"'{path}' holds '{family}', not latents; name a file that scripts/encode_tae.py wrote")
    names = {field.name for field in fields(Header)}
    if set(values) != names:
        wrong = f"lacks {sorted(names - set(values))} and has unknown {sorted(set(values) - names)}"
        raise InputError(f"'{path}': its header {wrong}; encode the clip again")
    try:
        header = Header(**values)
    except (InputError, TypeError) as error:
        raise InputError(f"'{path}': {error}") from None
    _check_shapes(path, header, {name: tuple(entry["shape"]) for name, entry in entries.items()})
    for name, entry in entries.items():
        if entry["dtype"] != _STORED[header.dtype]:
            raise InputError(f"'{path}': {name} is {entry['dtype']}, but its header says {header.dtype}")
    return header, entries, start


def _open(path: Path | str) -> tuple[dict[str, dict], str | None, int]:
    """Tensors' places, our header's text, and where data begins, of a safetensors file; the sizes are checked."""
    path = require_file(path, "a file of latents")
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= size - 8:
                raise ValueError("its length is wrong")
            entries = json.loads(file.read(length))
        metadata = entries.pop("__metadata__", {})
        start, end = 8 + length, 0
        for entry in sorted(entries.values(), key=lambda entry: entry["data_offsets"]):
            if not all(type(side) is int and side >= 0 for side in entry["shape"]):
                raise ValueError("a shape is wrong")
            count = math.prod(entry["shape"])
            first, last = entry["data_offsets"]
            if first != end or last - first != count * np.dtype(_RAW[entry["dtype"]]).itemsize:
                raise ValueError("its tensors do not follow each other")
            end = last
        if start + end != size:
            raise ValueError(f"{size} bytes instead of {start + end}")
        return entries, metadata.get(_HEADER_KEY), start
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None


def _read(path: Path | str, name: str, entry: Mapping[str, Any], start: int) -> np.ndarray:
    raw = np.dtype(_RAW[entry["dtype"]])
    with open(path, "rb") as file:
        file.seek(start + entry["data_offsets"][0])
        array = np.fromfile(file, raw, math.prod(entry["shape"])).reshape(entry["shape"])
    if entry["dtype"] == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if raw.kind == "f" else array.astype(raw.newbyteorder("="))


def _to_bytes(path: Path, name: str, array: np.ndarray, dtype: str) -> bytes:
    """As stored, little-endian; bf16 is the upper half of fp32, rounded to nearest, ties to even."""
    if dtype in _INTEGERS:
        return array.astype(_RAW[_STORED[dtype]]).tobytes()
    if dtype == "bf16":
        bits = np.ascontiguousarray(array).view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
        stored, values = rounded.astype("<u2"), (rounded << 16).view(np.float32)
    else:
        with np.errstate(over="ignore"):
            stored = values = array.astype(_RAW[_FLOATS[dtype]])
    if not (np.isfinite(array).all() and np.isfinite(values).all()):
        raise InputError(f"'{path}': {name} is not finite in {dtype}; nothing is written, use another type")
    return stored.tobytes()


def _check_shapes(path: Path | str, header: Header, shapes: Mapping[str, tuple[int, ...]]):
    if set(shapes) != set(KINDS[header.kind]):
        raise InputError(
            f"'{path}' has tensors {', '.join(sorted(shapes)) or 'none'}, "
            f"but kind {header.kind} is {' and '.join(KINDS[header.kind])}; encode the clip again"
        )
    first = next(iter(shapes.values()))
    if len(set(shapes.values())) > 1 or len(first) != 4 or 0 in first:
        raise InputError(f"'{path}' has shapes {shapes}, but all must be the same (z, t, h, w)")


def _is_rate(fps: object) -> bool:
    try:
        return isinstance(fps, str) and Fraction(fps) > 0
    except (ValueError, ZeroDivisionError):
        return False


def _require(field: str, value: object, fine: object, rule: str):
    if not fine:
        raise InputError(f"{field}={value!r} of latents must {rule}")


def _damaged(path: Path | str, reason: object) -> InputError:
    return InputError(f"'{path}' is damaged or not a safetensors file ({reason}); copy it again or encode it again")
