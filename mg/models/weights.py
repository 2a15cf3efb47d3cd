"""Weights files: what is in them, strict assignment, whole-file writing. For every family of models.

Two formats are written, told apart by suffix: `.safetensors` (fp32, fp16 or bf16) and MindSpore's `.ckpt`. Both carry
a header, JSON under the metadata key `mg`, by which a model is rebuilt from the file alone: its family, its
configuration, and what was left out because it is still at its start. One key, so that equal weights make equal files.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mg.errors import InputError
from mg.files import require_file, shards, whole_file
from mg.models import torch_file

_HEADER_KEY, _CHECKSUM = "mg", "checksum"
_FLOATING = ("F16", "BF16", "F32", "F64", "Float16", "BFloat16", "Float32", "Float64")
SUFFIXES = (".safetensors", ".ckpt")
STORAGE_DTYPES = {"fp32": ms.float32, "fp16": ms.float16, "bf16": ms.bfloat16}


class TensorFile(Mapping):
    """An opened weights file: a mapping from names to fp32 arrays, whatever type is stored, with its `header`.

    The header is empty for a file that is not ours: PyTorch's state dicts are read too, and the shards that an index
    lists, as one file.

    A safetensors file is read one tensor at a time, so a large file costs no more memory than what is taken from it.
    verify: compare the tensors with the checksum in the header, if there is one.
    Raises InputError for a missing, empty, truncated, damaged or foreign file.
    """

    def __init__(self, path: Path | str, verify: bool = True):
        self.path = require_file(path, "a weights file")
        if parts := shards(self.path):
            self._join(parts)
        elif self.path.suffix == ".safetensors":
            self._open_safetensors()
        elif self.path.suffix in torch_file.SUFFIXES or torch_file.is_torch_file(self.path):
            self._open_torch()
        elif self.path.suffix == ".ckpt":
            self._open_ckpt()
        else:
            known = ", ".join((*SUFFIXES, *torch_file.SUFFIXES))
            raise InputError(f"'{path}': weights files end in {known}; convert it or correct its name")
        written = self.header.get(_CHECKSUM) if verify else None
        if written is not None and written != _checksum(self._stored, self._names):
            raise _damaged(self.path, ValueError("its tensors are not those that were written"))

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _open_safetensors(self):
        try:
            file = safe_open(str(self.path), framework="numpy")
        except (SafetensorError, OSError) as error:
            raise _damaged(self.path, error) from None
        self._names = dict.fromkeys(file.keys())
        self.header = _parse_header(self.path, (file.metadata() or {}).get(_HEADER_KEY))
        self._stored = file.get_tensor
        self._read = lambda name: self._as_fp32(name, file.get_slice(name).get_dtype(), lambda: file.get_tensor(name))

    def _join(self, parts: list[Path]):
        """The tensors of several files as if they were of one."""
        files = [TensorFile(part) for part in parts]
        self._names = {name: file for file in files for name in file}
        self.header = {}
        self._read = lambda name: self._names[name][name]

    def _open_torch(self):
        tensors = torch_file.read(self.path)
        self._names = dict.fromkeys(tensors)
        self.header = {}
        self._read = lambda name: tensors[name]

    def _open_ckpt(self):
        try:
            entries = ms.load_checkpoint(str(self.path))
        except (ValueError, RuntimeError, TypeError) as error:
            raise _damaged(self.path, error) from None
        tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor)}
        self._names = dict.fromkeys(tensors)
        self.header = _parse_header(self.path, entries.get(_HEADER_KEY))
        self._stored = lambda name: tensors[name].asnumpy()
        self._read = lambda name: self._as_fp32(name, str(tensors[name].dtype), lambda: tensors[name].float().asnumpy())

    def _as_fp32(self, name: str, dtype: str, read: Callable[[], np.ndarray]) -> np.ndarray:
        if dtype not in _FLOATING:
            raise InputError(f"'{self.path}': tensor {name} is {dtype}, but weights must be fp16, bf16, fp32 or fp64")
        return read().astype(np.float32)


def _parse_header(path: Path, text: str | None) -> dict[str, object]:
    if text is None:
        return {}
    try:
        header = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    if not isinstance(header, dict):
        raise _damaged(path, TypeError("its header is no mapping"))
    return header


def _damaged(path: Path, error: Exception) -> InputError:
    reason = str(error).strip().splitlines()[0]
    return InputError(f"'{path}' is damaged or not a {path.suffix} file ({reason}); copy or download it again")


def _checksum(read: Callable[[str], np.ndarray], names: Iterable[str]) -> str:
    """CRC-32 of all names and values, as they are stored, by name."""
    digest = 0
    for name in sorted(names):
        digest = zlib.crc32(
            np.ascontiguousarray(read(name)).reshape(-1).view(np.uint8), zlib.crc32(name.encode(), digest)
        )
    return f"crc32 {digest:08x}"


def check_target(path: Path | str, source: Path | str | None = None) -> Path:
    """Return `path` if its suffix is a format that can be written and it is not the file `source`."""
    path = Path(path)
    if source is not None and Path(source).resolve() == path.resolve():
        raise InputError(f"the target '{path}' is the source itself; write to another file")
    if path.suffix not in SUFFIXES:
        raise InputError(f"cannot write weights to '{path}': the name must end in {' or '.join(SUFFIXES)}")
    return path


def named_parameters(cell: nn.Cell) -> dict[str, Parameter]:
    """Parameters by their place inside `cell`. Their own names change when the cell becomes part of another one."""
    return dict(cell.parameters_and_names())


def write(
    path: Path | str, parameters: Mapping[str, Parameter], header: Mapping[str, object], dtype: str = "fp32"
) -> None:
    """Write parameters and header; the file appears under its name only when it is complete.

    dtype: the stored type, fp32, fp16 or bf16.
    """
    path = check_target(path)
    stored = as_stored({name: parameter.asnumpy() for name, parameter in parameters.items()}, dtype)
    checksum = _checksum(lambda name: stored[name].asnumpy(), stored)
    metadata = {_HEADER_KEY: json.dumps({**header, _CHECKSUM: checksum}, sort_keys=True)}
    with whole_file(path) as part:
        if path.suffix == ".ckpt":
            entries = [{"name": name, "data": tensor} for name, tensor in stored.items()]
            ms.save_checkpoint(entries, str(part), append_dict=metadata)
        else:
            write_safetensors(part, stored, metadata, path)
        os.chmod(part, 0o644)  # both libraries write files that others cannot read, or nobody can replace


def as_stored(arrays: Mapping[str, np.ndarray], dtype: str) -> dict[str, Tensor]:
    """The arrays in the type that is stored, fp32, fp16 or bf16. Raises InputError for values not finite in it."""
    if dtype not in STORAGE_DTYPES:
        raise InputError(f"dtype={dtype!r} cannot be stored; use one of {', '.join(STORAGE_DTYPES)}")
    stored = {name: Tensor(array).astype(STORAGE_DTYPES[dtype]) for name, array in arrays.items()}
    lost = [name for name, tensor in stored.items() if not np.isfinite(tensor.float().asnumpy()).all()]
    if lost:
        raise InputError(f"{len(lost)} tensors ({lost[0]}, ...) are not finite in {dtype}; nothing is written")
    return stored


def write_safetensors(part: Path, stored: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> None:
    """Write tensors to `part`, which is to become `path`, the name that an InputError has."""
    try:
        save_file({name: tensor.asnumpy() for name, tensor in stored.items()}, str(part), metadata=dict(metadata))
    except SafetensorError as error:
        raise InputError(f"cannot write '{path}': {error}; free some space or name another place") from None


def assign(cell: nn.Cell, names: Iterable[str], tensors: Mapping[str, np.ndarray], source: Path | str) -> None:
    """Put `tensors` into exactly the parameters `names` of `cell`.

    Raises InputError, before anything is changed, when a tensor is missing, unexpected, of another shape or not finite;
    the message gives the count and the first five names of each. `source` is named in it.
    """
    parameters = named_parameters(cell)
    wanted = dict.fromkeys(names)
    values = {name: tensors[name] for name in wanted if name in tensors}
    problems = {
        "missing": [name for name in wanted if name not in tensors],
        "unexpected": [name for name in tensors if name not in wanted],
        "of another shape": [
            f"{name} {value.shape} instead of {parameters[name].shape}"
            for name, value in values.items()
            if value.shape != parameters[name].shape
        ],
        "not finite": [name for name, value in values.items() if not np.isfinite(value).all()],
    }
    found = [
        f"{len(n)} {kind} ({', '.join(n[:5])}{', ...' if len(n) > 5 else ''})" for kind, n in problems.items() if n
    ]
    if found:
        raise InputError(
            f"'{source}' does not fit this model: {'; '.join(found)}. Use the weights this model was made for"
        )
    for name, value in values.items():
        parameters[name].set_data(Tensor(value))
