"""Latents of one clip in a file, raw and unscaled: the only place that knows how.

A safetensors file with `mean` and `std` (kind posterior), `z` (sample), each (z, t, h, w), or integer `codes` (codes),
(1, t, h, w), and a header, JSON under the metadata key `mg`. The model's name, the times of frames and how many codes
there are have keys of their own, which versions that know nothing of them do not look at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mg.checks import is_number, is_whole
from mg.errors import InputError
from mg.files import require_file, whole_file

KINDS = {"posterior": ("mean", "std"), "sample": ("z",), "codes": ("codes",)}
SUFFIX = ".safetensors"
_HEADER_KEY, _MODEL_KEY, _TIMES_KEY, _VOCABULARY_KEY, FAMILY = "mg", "model", "times", "vocabulary", "latents"
_FLOATS = {"fp32": np.float32, "fp16": np.float16, "bf16": ml_dtypes.bfloat16}
_INTEGERS = {name: np.dtype(name) for sign in ("", "u") for name in (f"{sign}int{bits}" for bits in (8, 16, 32, 64))}
_TYPES = {**_FLOATS, **_INTEGERS}
_STORED = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}  # as a safetensors file says it
_STORED.update({name: f"{dtype.kind.upper()}{8 * dtype.itemsize}" for name, dtype in _INTEGERS.items()})
_READ_AS_FP32 = ("F64", "F32", "F16", "BF16")
FLOAT_DTYPES = tuple(_FLOATS)
_LENGTH = 8  # bytes in which a safetensors file says how long its header is


@dataclass(frozen=True)
class Header:
    """What a file says of its latents.

    kind: posterior, sample or codes. dtype: as stored: fp32, fp16, bf16, or an integer type of NumPy.
    frames, height, width: of what was encoded, before padding. fps: such as "30000/1001"; None for an image.
    source: relative name of what was encoded. tiles: sizes of tiles, or None. options: what else the values depend on.
    scaling_factor, shift_factor: a diffusion model sees (z - shift) * scaling; one number for all channels, or a list
    of one for each; the file itself is not scaled. model: name of the family that made them; None in old files.
    times: of a clip whose rate varies, when each of its frames begins to be shown, in seconds, and last when the last
    one ends; fps is their mean then. vocabulary: of codes, how many there are; None in files that do not say.
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
    scaling_factor: float | list[float]
    shift_factor: float | list[float]
    model: str | None = None
    times: tuple[Fraction, ...] | None = None
    vocabulary: int | None = None

    def __post_init__(self):
        _require("kind", self.kind, self.kind in tuple(KINDS), f"be one of {', '.join(KINDS)}")
        dtypes = tuple(_INTEGERS if self.of_codes else _FLOATS)
        _require("dtype", self.dtype, self.dtype in dtypes, f"be one of {', '.join(dtypes)} for {self.kind}")
        for field in ("frames", "height", "width"):
            value = getattr(self, field)
            _require(field, value, is_whole(value) and value >= 1, "be a whole number of at least 1")
        fine = self.frames == 1 if self.fps is None else _is_rate(self.fps)
        _require("fps", self.fps, fine, 'be a rate such as "30000/1001", or null for a single image')
        rising = self.times is None or all(start < end for start, end in zip(self.times, self.times[1:]))
        fine = self.times is None or (rising and len(self.times) == self.frames + 1)
        _require("times", self.times, fine, "rise, and be one more than frames")
        for field in ("source", "weights_sha256"):
            _require(field, getattr(self, field), _is_text(getattr(self, field)), "be text")
        _require("model", self.model, self.model is None or _is_text(self.model), "be a family's name")
        fine = self.vocabulary is None or (self.of_codes and is_whole(self.vocabulary) and self.vocabulary >= 2)
        _require("vocabulary", self.vocabulary, fine, "be a whole number of at least 2, of codes alone")
        for field in ("scaling_factor", "shift_factor"):
            object.__setattr__(self, field, _factor(field, getattr(self, field)))
        _require("tiles", self.tiles, self.tiles is None or isinstance(self.tiles, Mapping), "be a mapping or null")
        _require("options", self.options, isinstance(self.options, Mapping), "be a mapping")

    @property
    def of_codes(self) -> bool:
        """Whether these are codes: whole numbers, of which nothing is drawn and nothing scaled."""
        return self.kind == "codes"


@dataclass(frozen=True)
class Latents:
    """A header and its arrays by name, all of one shape (z, t, h, w), fp32 or the header's integer type."""

    header: Header
    arrays: Mapping[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, t, h, w)."""
        return next(iter(self.arrays.values())).shape

    def drawn(self, rng: np.random.Generator) -> np.ndarray:
        """One array (z, t, h, w): a sample of a posterior, else what is stored."""
        if self.header.kind != "posterior":
            return next(iter(self.arrays.values()))
        return self.arrays["mean"] + self.arrays["std"] * rng.standard_normal(self.shape, dtype=np.float32)

    def cut(self, first: int, frames: int) -> Latents:
        """Latent frames of it, the first of which is `first`."""
        return Latents(self.header, {name: array[:, first : first + frames] for name, array in self.arrays.items()})


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
    stored = {name: _as_stored(path, name, array, header.dtype) for name, array in latents.arrays.items()}
    values = asdict(header)
    model, times, vocabulary = (values.pop(name) for name in ("model", "times", "vocabulary"))
    metadata = {_HEADER_KEY: json.dumps({"family": FAMILY, **values}, sort_keys=True, allow_nan=False)}
    if model is not None:
        metadata[_MODEL_KEY] = model
    if times is not None:
        metadata[_TIMES_KEY] = " ".join(map(str, times))
    if vocabulary is not None:
        metadata[_VOCABULARY_KEY] = str(vocabulary)
    content = save(stored, metadata)
    with whole_file(path) as part:
        part.write_bytes(_in_order(content))


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata by name, so that equal latents are equal files: it comes in any order."""
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)  # values stay aligned
    return len(text).to_bytes(_LENGTH, "little") + text + content[start:]


def read_header(path: Path | str) -> tuple[Header, tuple[int, ...]]:
    """Header and shape (z, t, h, w) of a file, without its values. Raises InputError as `read_latents` does."""
    with _open(path) as file:
        header = _header(path, file)
        return header, tuple(file.get_slice(KINDS[header.kind][0]).get_shape())


def read_latents(path: Path | str) -> Latents:
    """Read a file that `write_latents` wrote; values come back as fp32, codes as the integers they are.

    Raises InputError for a file that is missing, truncated, foreign, or does not hold what its header says.
    """
    with _open(path) as file:
        header = _header(path, file)
        arrays = {name: _read(path, file, name) for name in KINDS[header.kind]}
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise InputError(f"'{path}': {broken[0]} is not finite; encode the clip again")
    return Latents(header, arrays)


def read_plain(path: Path | str) -> dict[str, np.ndarray] | None:
    """All arrays of a safetensors file of somebody else, floats as fp32; None if it has a header of ours."""
    with _open(path) as file:
        ours = _HEADER_KEY in (file.metadata() or {})
        return None if ours else {name: _read(path, file, name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _open(path: Path | str) -> Iterator[safe_open]:
    """A safetensors file whose sizes are right."""
    path = require_file(path, "a file of latents")
    try:
        with safe_open(path, "numpy") as file:
            yield file
    except SafetensorError as error:
        raise _damaged(path, error) from None


def _header(path: Path | str, file: safe_open) -> Header:
    """The header of an open file of ours, once the file holds what it says."""
    metadata = file.metadata() or {}
    if _HEADER_KEY not in metadata:
        raise InputError(f"'{path}' has no header under '{_HEADER_KEY}': it is not one of our files of latents")
    try:
        values = json.loads(metadata[_HEADER_KEY])
        family = values.pop("family")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _damaged(path, "its header is no mapping with a family") from None
    if family != FAMILY:
        raise InputError(f"'{path}' holds '{family}', not latents; name a file that scripts/encode.py wrote")
    names = {field.name for field in fields(Header)} - {_MODEL_KEY, _TIMES_KEY, _VOCABULARY_KEY}
    if set(values) != names:
        wrong = f"lacks {sorted(names - set(values))} and has unknown {sorted(set(values) - names)}"
        raise InputError(f"'{path}': its header {wrong}; encode the clip again")
    try:
        times = metadata.get(_TIMES_KEY)
        times = None if times is None else tuple(map(Fraction, times.split()))
        vocabulary = metadata.get(_VOCABULARY_KEY)
        vocabulary = None if vocabulary is None else int(vocabulary)
        header = Header(**values, model=metadata.get(_MODEL_KEY), times=times, vocabulary=vocabulary)
    except (InputError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"'{path}': {error}") from None
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    _check_shapes(path, header, {name: tuple(part.get_shape()) for name, part in slices.items()})
    for name, part in slices.items():
        if part.get_dtype() != _STORED[header.dtype]:
            raise InputError(f"'{path}': {name} is {part.get_dtype()}, but its header says {header.dtype}")
    return header


def _read(path: Path | str, file: safe_open, name: str) -> np.ndarray:
    dtype = file.get_slice(name).get_dtype()
    if dtype in _READ_AS_FP32:
        return file.get_tensor(name).astype(np.float32)
    if dtype not in _STORED.values():
        raise InputError(f"'{path}': {name} is {dtype}, but latents are numbers; name a file of latents")
    return file.get_tensor(name)


def _as_stored(path: Path, name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """Rounded to nearest, ties to even. Raises InputError for what is not finite once it is."""
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(array, _TYPES[dtype])
    if not np.isfinite(stored.astype(array.dtype)).all():
        raise InputError(f"'{path}': {name} is not finite in {dtype}; nothing is written, use another type")
    return stored


def _check_shapes(path: Path | str, header: Header, shapes: Mapping[str, tuple[int, ...]]):
    if set(shapes) != set(KINDS[header.kind]):
        raise InputError(
            f"'{path}' has tensors {', '.join(sorted(shapes)) or 'none'}, "
            f"but kind {header.kind} is {' and '.join(KINDS[header.kind])}; encode the clip again"
        )
    first = next(iter(shapes.values()))
    if len(set(shapes.values())) > 1 or len(first) != 4 or 0 in first:
        raise InputError(f"'{path}' has shapes {shapes}, but all must be the same (z, t, h, w)")
    for field in ("scaling_factor", "shift_factor"):
        value = getattr(header, field)
        if isinstance(value, list) and not header.of_codes and len(value) != first[0]:
            raise InputError(f"'{path}' has {first[0]} channels, but {len(value)} numbers of {field}; encode it again")


def _factor(field: str, value: Any) -> float | list[float]:
    """A factor that was checked: one number, or a list of several. Raises InputError."""
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    fine = numbers and all(is_number(n) and math.isfinite(n) and (n or field != "scaling_factor") for n in numbers)
    _require(field, value, fine, "be a finite number, or one for each channel, and scaling_factor not 0")
    return numbers[0] if len(numbers) == 1 else numbers


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


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
