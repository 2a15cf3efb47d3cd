"""Reads state dicts that PyTorch saved, without PyTorch, and without running what a file says.

Both of its formats: the zip archive of 1.6 and later, and the stream of pickles before it, in which the heads of the
lpips package are still published. A pickle may name any function to be called; here it may name OrderedDict, plain
storages and the tensor that lies in one, and nothing else. PyTorch's own reader would do, but users on Ascend have
MindSpore and no PyTorch, and these files are published in no other format.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from mg.errors import InputError
from mg.files import require_file

SUFFIXES = (".pth", ".pt", ".bin")
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_PROTOCOL = 1001
# bfloat16 is the upper half of an fp32 number; NumPy has no such type.
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2"}
# Counters beside weights, such as num_batches_tracked: read past, since no parameter takes them.
_COUNTERS = {"LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "|i1"}
_COUNTERS.update({"ByteStorage": "|u1", "BoolStorage": "|b1"})
_TYPES = {**_STORAGES, **_COUNTERS}


class _Storage(NamedTuple):
    """Where a tensor's numbers are: key in the file, NumPy type, count."""

    key: str
    dtype: str
    count: int


class _StoredTensor(NamedTuple):
    """How a tensor lies in its storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Builds nothing but numbers, strings, containers and `_StoredTensor`s."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _StoredTensor(storage, offset, shape, strides)
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise InputError(f"it asks for {module}.{name}, which no file of plain floating weights needs")

    def persistent_load(self, reference: tuple) -> _Storage:
        kind, dtype, key, _, count, *view = reference
        if kind != "storage" or dtype not in _TYPES.values() or not isinstance(count, int) or any(view):
            raise InputError(f"it refers to {reference!r}, which is no plain storage")
        return _Storage(key, dtype, count)


def is_torch_file(path: Path) -> bool:
    """Whether a file begins like one of the two formats, whatever it is called."""
    with open(path, "rb") as file:
        return file.read(2) in (b"PK", b"\x80\x02")


def read(path: Path | str) -> dict[str, np.ndarray]:
    """The tensors of a state dict saved with torch.save, by name, in fp32; of a checkpoint, those under `state_dict`.

    Whole numbers are left out. Raises InputError for another kind of file, a damaged one, or one that holds no tensors.
    """
    path = require_file(path, "a PyTorch file")
    try:
        if zipfile.is_zipfile(path):
            return _tensors(*_read_archive(path))
        with open(path, "rb") as file:
            return _tensors(*_read_stream(file))
    except InputError as error:
        raise InputError(f"'{path}' is refused: {error}; use a state dict saved with torch.save") from None
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can end in any of them
        raise InputError(
            f"'{path}' is damaged or not a state dict saved with torch.save ({type(error).__name__}: {error}); "
            "download it again"
        ) from None


def _read_archive(path: Path) -> tuple[object, dict[str, bytes]]:
    """The pickled object and the bytes of the storages that it refers to."""
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = pickled[: -len("data.pkl")]
        names = archive.namelist()
        _require_little_endian(f"{folder}byteorder" not in names or archive.read(f"{folder}byteorder") == b"little")
        state = _Unpickler(io.BytesIO(archive.read(pickled)), encoding="utf-8").load()
        keys = {tensor.storage.key for tensor in _stored(state).values()}
        return state, {key: archive.read(f"{folder}data/{key}") for key in keys}


def _read_stream(file: BinaryIO) -> tuple[object, dict[str, bytes]]:
    """The same of the older format: five pickles, then each storage as its count (int64) and its numbers."""
    magic, protocol, system, state, keys = (_Unpickler(file, encoding="utf-8").load() for _ in range(5))
    if magic != _STREAM_MAGIC or protocol != _STREAM_PROTOCOL:
        raise InputError("it is neither of the two formats that torch.save writes")
    _require_little_endian(system["little_endian"])
    sizes = {tensor.storage.key: np.dtype(tensor.storage.dtype).itemsize for tensor in _stored(state).values()}
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        storages[key] = file.read(count * sizes[key])
    return state, storages


def _require_little_endian(found: bool) -> None:
    if not found or sys.byteorder != "little":
        raise InputError("its numbers, or this machine's, are big-endian")


def _stored(state: object) -> Mapping[str, _StoredTensor]:
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise InputError(f"it holds a {type(state).__name__}, not tensors by name")
    wrong = [name for name, value in state.items() if not (isinstance(name, str) and isinstance(value, _StoredTensor))]
    if wrong:
        raise InputError(f"{len(wrong)} of its {len(state)} entries ({wrong[0]!r}, ...) are no named tensors")
    return state


def _tensors(state: object, storages: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    weights = {name: t for name, t in _stored(state).items() if t.storage.dtype not in _COUNTERS.values()}
    return {name: _tensor(name, tensor, storages[tensor.storage.key]) for name, tensor in weights.items()}


def _tensor(name: str, tensor: _StoredTensor, data: bytes) -> np.ndarray:
    """A tensor's own fp32 copy. NumPy refuses what would reach outside of `data`."""
    storage, offset, shape, strides = tensor
    dtype = np.dtype(storage.dtype)
    if len(data) != storage.count * dtype.itemsize or math.prod(shape) > storage.count:
        raise InputError(f"tensor {name} {tuple(shape)} does not fit its storage of {len(data)} bytes")
    steps = [stride * dtype.itemsize for stride in strides]
    array = np.ndarray(shape, dtype, data, offset * dtype.itemsize, steps)
    if storage.dtype == _STORAGES["BFloat16Storage"]:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, order="C")
