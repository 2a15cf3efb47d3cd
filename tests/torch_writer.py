"""Writes state dicts in PyTorch's two formats, so that reading them can be tested without PyTorch."""

import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np

STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "f2": "HalfStorage", "u2": "BFloat16Storage"}
STORAGES["i8"] = "LongStorage"


def _rebuild_tensor_v2(*_):
    raise AssertionError("only its name is written")


_rebuild_tensor_v2.__module__ = "torch._utils"


class Storage:
    """Numbers that tensors lie in; its identity is its key."""

    def __init__(self, array):
        self.array = array


@dataclass
class Laid:
    """A tensor: how it lies in an array, in elements."""

    array: np.ndarray
    shape: tuple
    strides: tuple
    offset: int = 0

    def __reduce__(self):
        return _rebuild_tensor_v2, (Storage(self.array), self.offset, self.shape, self.strides, False, OrderedDict())


def laid(array):
    """A contiguous array as a tensor of its own."""
    return Laid(array.reshape(-1), array.shape, tuple(step // array.itemsize for step in array.strides))


class Writer(pickle.Pickler):
    """Notes the storages that are referred to."""

    def __init__(self, file, tail):
        super().__init__(file, protocol=2)
        self.storages, self.tail = {}, tail

    def persistent_id(self, item):
        if not isinstance(item, Storage):
            return None
        key = str(id(item.array))
        self.storages[key] = item.array
        kind = getattr(sys.modules["torch"], STORAGES[item.array.dtype.str[1:]])
        return ("storage", kind, key, "cpu", item.array.size, *self.tail)


@contextmanager
def torch_names():
    """Stand-ins under PyTorch's names, which pickle looks up when it writes."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        yield


def write_archive(path, state):
    """The zip archive of PyTorch 1.6 and later."""
    with torch_names(), zipfile.ZipFile(path, "w") as archive:
        with archive.open("x/data.pkl", "w") as file:
            writer = Writer(file, ())
            writer.dump(OrderedDict(state) if isinstance(state, dict) else state)
        archive.writestr("x/byteorder", "little")
        for key, array in writer.storages.items():
            archive.writestr(f"x/data/{key}", array.tobytes())
        archive.writestr("x/version", "3\n")


def write_stream(path, state):
    """The pickles of PyTorch before 1.6, then the storages."""
    with torch_names(), open(path, "wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        pickle.dump({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, file, protocol=2)
        writer = Writer(file, (None,))
        writer.dump(OrderedDict(state) if isinstance(state, dict) else state)
        pickle.dump(sorted(writer.storages), file, protocol=2)
        for key in sorted(writer.storages):
            file.write(writer.storages[key].size.to_bytes(8, "little") + writer.storages[key].tobytes())
