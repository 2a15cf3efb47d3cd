"""Networks from ONNX files that the user brings, run on the CPU. The only file that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Optional

import numpy as np

from mg.errors import InputError
from mg.files import require_file, sha256

THREADS = 4
Shape = tuple[Optional[int], ...]


class Network:
    """An ONNX network of float32 inputs and one float32 output: `network(*arrays)` runs it.

    what: names it in errors, such as "FID's network". inputs, output: the axes it must have; None takes any size.
    remedy: says in errors how to make the file. Same inputs give the same output, bit for bit, on one machine.
    `inputs` afterwards: the file's own axes, None where the file leaves a size free.
    `about`: what a report must say of it; `metadata`: what the exporter wrote into the file.
    Raises InputError for a missing package or file, and for another network.
    """

    def __init__(self, path: Path | str | None, what: str, remedy: str, inputs: Sequence[Shape], output: Shape):
        if path is None:
            raise InputError(f"no file of {what} is given; {remedy}")
        self.path, self.what, self.remedy = Path(path), what, remedy
        if not self.path.is_file():
            raise InputError(f"there is no file of {what} at '{path}'; {remedy}")
        require_file(self.path, f"an ONNX file of {what}")
        runtime = _onnxruntime(what)
        self._session = self._open(runtime)
        self._names = [entry.name for entry in self._session.get_inputs()]
        self._output = output
        self.inputs = [_shape(entry) for entry in self._session.get_inputs()]
        self._check(inputs, output)
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        self.about = {
            **self.metadata,
            "network": self.path.name,
            "network_sha256": sha256(self.path),
            "onnxruntime": runtime.__version__,
        }

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """The output for float32 arrays of the file's inputs, in their order."""
        try:
            (result,) = self._session.run(None, dict(zip(self._names, arrays)))
        except Exception as error:  # onnxruntime's errors share no base class
            raise InputError(f"'{self.path}' cannot be run as {self.what} ({_line(error)}); {self.remedy}") from None
        if not _fits(result.shape, self._output):
            raise self._wrong(f"gives {_text(result.shape)}", _text(self._output))
        return result

    def _open(self, runtime: ModuleType) -> object:
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leaves idle cores to MindSpore
        try:
            return runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base class
            raise InputError(f"'{self.path}' is no ONNX file that can be run ({_line(error)}); {self.remedy}") from None

    def _check(self, inputs: Sequence[Shape], output: Shape) -> None:
        entries, outputs = self._session.get_inputs(), self._session.get_outputs()
        found, wanted = ", ".join(map(_text, self.inputs)), ", ".join(map(_text, inputs))
        if len(entries) != len(inputs) or not all(map(_fits, self.inputs, inputs)):
            raise self._wrong(f"takes {found}", wanted)
        if len(outputs) != 1 or not _fits(_shape(outputs[0]), output):
            raise self._wrong(f"gives {', '.join(_text(_shape(entry)) for entry in outputs)}", _text(output))
        others = [entry.type for entry in (*entries, *outputs) if entry.type != "tensor(float)"]
        if others:
            raise self._wrong(f"works on {others[0]}", "tensor(float)")

    def _wrong(self, found: str, wanted: str) -> InputError:
        return InputError(f"'{self.path}' {found}, but it should be {wanted} for {self.what}; {self.remedy}")


def _onnxruntime(what: str) -> ModuleType:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"{what} runs through onnxruntime, which cannot be imported ({_line(error)}); pip install onnxruntime"
        ) from None
    return onnxruntime


def _shape(entry: object) -> Shape:
    return tuple(size if isinstance(size, int) else None for size in entry.shape)


def _fits(found: Shape, wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(None in pair or pair[0] == pair[1] for pair in zip(found, wanted))


def _text(shape: Shape) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
