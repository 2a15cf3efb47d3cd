"""Video autoencoders for MindSpore."""

import os
from importlib import metadata

import mindspore  # noqa: F401  first of all: a process that loads decord before MindSpore aborts


def _avoid_slow_cpu_convolution() -> None:
    """MindSpore 2.9 and 2.10 pick a oneDNN convolution on AVX512 processors that is about 90 times slower.

    oneDNN reads the variable at the first convolution, so setting it here is early enough, also after
    `import mindspore`. A value that the user has set is left alone. Without effect on Ascend.
    """
    major, minor = metadata.version("mindspore").split(".")[:2]
    if (int(major), int(minor)) >= (2, 9):
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


_avoid_slow_cpu_convolution()
