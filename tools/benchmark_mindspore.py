"""The package's side of tools/benchmark.py, which starts it: one part of one model in a process of its own."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from benchmark_child import Case, Run, serve
from mindspore import Tensor, nn, ops
from mindspore.profiler import ProfilerActivity, profile, tensorboard_trace_handler

from mg import runtime
from mg.errors import InputError
from mg.losses.objective import ObjectiveConfig
from mg.models.tae.tae import TemporalAutoencoder
from mg.training.config import TrainingConfig
from mg.training.build import Parts
from mg.training.checkpoint import Progress

MATRIX = 2048
RATE = 1e-5


class Product(nn.Cell):
    """The matrix product of two square matrices, as a graph."""

    def __init__(self):
        super().__init__()
        self.matmul = ops.MatMul()

    def construct(self, a: Tensor, b: Tensor) -> Tensor:
        return self.matmul(a, b)


class MatMulRate:
    """GFLOP/s of an fp32 matrix product: the median of some runs."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.matrices = [Tensor(rng.standard_normal((MATRIX, MATRIX), dtype=np.float32)) for _ in range(2)]
        self.product = Product()
        self.product(*self.matrices).asnumpy()  # compiles

    def __call__(self, runs: int = 5) -> dict[str, float]:
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            self.product(*self.matrices).asnumpy()
            seconds.append(time.perf_counter() - start)
        return {"matmul_gflops": 2 * MATRIX**3 / float(np.median(seconds)) / 1e9}


def load(case: Case) -> TemporalAutoencoder:
    """The model, with tiles if the case has some."""
    tiles = {} if case.tiles is None else {"use_tile": True, **case.tiles}
    return TemporalAutoencoder(pretrained=case.weights, dtype=case.dtype, **tiles)


def encode(case: Case) -> Run:
    tae, clip = load(case), Tensor(case.clip())
    return lambda: [tae.encode(clip, seed=0)[1].asnumpy()]


def decode(case: Case) -> Run:
    tae, latents = load(case), Tensor(case.noise())
    return lambda: [tae.decode(latents).asnumpy()]


def train(case: Case) -> Run:
    """Steps as scripts/train_tae.py takes them, L1 + KL with AdamW; gives the loss and the norm of its gradients."""
    training = TrainingConfig(ckpt_path=case.weights, learning_rate=RATE, dtype=case.dtype)
    parts = Parts(training, ObjectiveConfig(perceptual_weight=0.0), ranks=1)
    clip, noise, progress = Tensor(case.clip()), Tensor(case.noise()), Progress()

    def step() -> list[np.ndarray]:
        figures = parts.learn(clip, noise, RATE, 0.0, 0, progress)
        norm, _ = parts.finish(RATE)
        return [np.array(figures["total"]), np.array(norm)]

    return step


def profiled(run: Run, folder: str) -> dict[str, list[dict]]:
    """One run under MindSpore's profiler: time of every operator of the graphs, by its type and its full name.

    The profiler writes into `folder`, which should be a temporary one.
    """
    handler = tensorboard_trace_handler(folder)
    with profile(activities=[ProfilerActivity.CPU], on_trace_ready=handler):
        run()
    rows = []
    for path in sorted(Path(folder).rglob("cpu_op_detail_info_*.csv")):
        with open(path, newline="") as file:
            rows += [
                {
                    "operator": row["op_type"],
                    "name": row["full_op_name"],
                    "calls": int(row["op_occurrences"]),
                    "ms": float(row["op_total_time(ms)"]),
                }
                for row in csv.DictReader(file)
            ]
    if not rows:
        raise InputError(f"MindSpore {ms.__version__}'s profiler wrote no times of CPU operators; leave --profile out")
    return {"operators": rows}


def build(case: Case):
    """What is measured, and the commands "matmul" and "profile"."""
    runtime.setup(case.device_target)
    rate = MatMulRate()
    run = {"encode": encode, "decode": decode, "train": train}[case.part](case)
    return run, {"matmul": rate, "profile": lambda folder: profiled(run, folder)}


if __name__ == "__main__":
    serve(build, InputError)
