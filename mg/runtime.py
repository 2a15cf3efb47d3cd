"""Where CPU and Ascend differ: device, mode and number type."""

from __future__ import annotations

import logging
import os
from importlib import metadata

import mindspore as ms
import psutil

from mg.errors import InputError

_DTYPES = {"fp32": ms.float32, "fp16": ms.float16, "bf16": ms.bfloat16}
DTYPE_NAMES = (*_DTYPES, "auto")
DEVICES = ("CPU", "Ascend")
_MODES = {"graph": ms.GRAPH_MODE, "pynative": ms.PYNATIVE_MODE}
MODES = tuple(_MODES)
JIT_LEVELS = ("O0", "O1")  # not O2, CANN's GraphEngine: MindSpore's release notes deprecate it since 2.9
_COMPILE_S = 0.05  # a parameter: 14 s for the 284 of the shipped model (MindSpore 2.8, two cores)


def setup(device_target: str = "CPU", mode: str = "graph", jit_level: str | None = None, dtype: str = "auto") -> None:
    """Choose device and execution mode for this process; call it before any model is built.

    jit_level: None leaves MindSpore's own choice. dtype: fp32 makes convolutions on Ascend compute in fp32, where CANN
    would turn them to HF32. Raises InputError for a name or a device that is not there.
    """
    if os.environ.get("MS_COMPILER_CACHE_ENABLE") == "1":
        raise InputError("MS_COMPILER_CACHE_ENABLE=1: MindSpore's on-disk cache reuses stale graphs; unset it")
    _require("device_target", device_target, DEVICES)
    _require("mode", mode, MODES)
    _require("dtype", dtype, DTYPE_NAMES)
    if jit_level == "O2":
        raise InputError("jit_level=O2 is deprecated in MindSpore since 2.9 and was removed here; use O0 or O1")
    if jit_level is not None:
        _require("jit_level", jit_level, JIT_LEVELS)
    logging.disable(logging.WARNING)  # of what MindSpore looks for before it says that a device is missing
    try:
        ms.set_device(device_target)
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"device_target={device_target} cannot be used here ({str(error).strip().splitlines()[0]}); "
            "use --device_target CPU, or install MindSpore and CANN for that device"
        ) from None
    finally:
        logging.disable(logging.NOTSET)
    ms.set_context(mode=_MODES[mode])
    prepare_cpu()
    if dtype == "fp32" and not on_cpu():
        _keep_fp32()
    if jit_level is not None:
        ms.set_context(jit_config={"jit_level": jit_level})


def prepare_cpu() -> None:
    """What MindSpore must be told on a CPU, by `setup` or the first model that is built. Without effect on Ascend.

    2.9 and 2.10 are kept from a oneDNN convolution for AVX512 that is about 90 times slower: oneDNN reads the variable
    at the first convolution of the process, and a value that the user has set stays. Where nothing is compiled,
    operators are launched one after the other: run by root on few cores, the threads that launch them otherwise wait
    busily for each other, and may do so for ever.
    """
    major, minor = metadata.version("mindspore").split(".")[:2]
    if (int(major), int(minor)) >= (2, 9):
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    if on_cpu() and not in_graph_mode():
        ms.runtime.launch_blocking()


def _keep_fp32() -> None:
    """Let neither convolutions nor matrix products become HF32, which has 11 bits of mantissa.

    CANN turns convolutions to it by default, and matrix products not: MindSpore's docstrings of `conv_allow_hf32` and
    `matmul_allow_hf32`, which can be set once in a process.
    """
    precision = ms.device_context.ascend.op_precision
    precision.conv_allow_hf32(False)
    precision.matmul_allow_hf32(False)


def on_cpu() -> bool:
    """Whether networks run on the CPU."""
    return ms.get_current_device().device_target == "CPU"


def in_graph_mode() -> bool:
    """Whether networks are compiled."""
    return ms.get_context("mode") == ms.GRAPH_MODE


def compiling(parameters: int) -> str:
    """About how long a graph of so many parameters, those of an optimizer among them, is compiled, in words."""
    if not on_cpu():
        return "up to some minutes"
    return f"about {max(5, 5 * round(parameters * _COMPILE_S / 5))} s"


def free_memory() -> int | None:
    """Bytes that networks can still have; None on Ascend, where the host does not know."""
    return psutil.virtual_memory().available if on_cpu() else None


def compute_dtype(name: str) -> ms.Type:
    """The MindSpore type of `name`: fp32, fp16, bf16, or auto (fp32 on a CPU, bf16 on Ascend).

    This is the type of convolutions and matrix products; docs/conventions.md has the whole table.
    """
    _require("dtype", name, DTYPE_NAMES)
    if name == "auto":
        name = "fp32" if on_cpu() else "bf16"
    if name == "bf16" and on_cpu():
        raise InputError("dtype=bf16 does not run on a CPU: MindSpore has no bf16 CPU kernels; use fp32 or fp16")
    return _DTYPES[name]


def _require(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{field}={value!r} is unknown; use one of {', '.join(allowed)}")
