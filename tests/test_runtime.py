"""What MindSpore is told before a model is built, and that nothing of it is deprecated."""

import os
import re
import subprocess
import sys

import mindspore as ms
import pytest
from conftest import ROOT

from mg import runtime
from mg.errors import InputError

# All that is called of MindSpore on the way through a model, and of one training step; warnings of it go to stderr.
CALLS = """
import warnings
warnings.simplefilter("always")
import numpy as np
import mindspore as ms
from mindspore import nn
from mg import runtime
from mg.models import families
runtime.setup("CPU", "pynative", "O0", "fp32")
runtime.in_graph_mode(), runtime.compiling(1), runtime.compute_dtype("auto")
vae = families.build("image_vae", {"block_out_channels": [8, 8], "norm_num_groups": 2, "latent_channels": 2}, "fp32")
vae(np.zeros((1, 3, 16, 16), np.float32), seed=0)
vae.save("weights.ckpt")
families.load("weights.ckpt")
vae.set_train()
ms.set_seed(0)
forward = vae.training_forward()
noises = [ms.Tensor(np.zeros(shape, np.float32)) for shape in forward.noise_shapes((1, 3, 1, 16, 16))]
clip = ms.Tensor(np.zeros((1, 3, 1, 16, 16), np.float32))
step = ms.value_and_grad(lambda: sum(x.sum() for x in forward(clip, *noises).values()), None, vae.trainable_params())
print("done", len(step()[1]) > 0)
"""


def test_mindspore_warns_of_nothing_that_we_call(tmp_path):
    environment = {**os.environ, "GLOG_v": "2", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CALLS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment)
    assert done.stdout.splitlines()[-1:] == ["done True"], done.stderr
    # MindSpore's log, and Python's warnings where this package is to blame for them, not MindSpore's own files.
    ours = [line for line in done.stderr.splitlines() if "[WARNING]" in line or line.startswith(str(ROOT / "mg"))]
    assert not [line for line in ours if re.search("deprecated|will be removed", line, re.IGNORECASE)], done.stderr


def test_such_a_warning_would_be_seen(tmp_path):
    code = "import mindspore; mindspore.set_context(deterministic='ON')"
    environment = {**os.environ, "GLOG_v": "2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert re.search(r"\[WARNING\].*deprecated", done.stderr), done.stderr


@pytest.fixture
def precision(monkeypatch):
    """What of MindSpore's precision was set, on a device that is called Ascend."""
    told = {}
    for name in ("conv_allow_hf32", "matmul_allow_hf32"):
        monkeypatch.setattr(
            ms.device_context.ascend.op_precision, name, lambda value, name=name: told.update({name: value})
        )
    monkeypatch.setattr(ms, "set_device", lambda name: None)
    monkeypatch.setattr(runtime, "on_cpu", lambda: False)
    return told


@pytest.mark.parametrize("dtype, expected", [("fp32", False), ("bf16", None), ("auto", None)])
def test_fp32_is_fp32_on_ascend(precision, dtype, expected):
    runtime.setup("Ascend", dtype=dtype)
    assert precision == ({} if expected is None else dict.fromkeys(("conv_allow_hf32", "matmul_allow_hf32"), expected))


def test_a_cpu_is_told_nothing_of_hf32(precision, monkeypatch):
    monkeypatch.setattr(runtime, "on_cpu", lambda: True)
    runtime.setup("CPU", dtype="fp32")
    assert precision == {}


def test_o2_is_refused_with_the_reason():
    with pytest.raises(InputError, match=r"jit_level=O2 is deprecated.*use O0 or O1"):
        runtime.setup(jit_level="O2")
