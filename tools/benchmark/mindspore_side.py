"""The package's side of benchmark.py, which starts it: one part of one model in a process of its own."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from child import Case, Run, serve
from mindspore import Tensor, nn, ops
from mindspore.profiler import ProfilerActivity, profile, tensorboard_trace_handler

from mg import runtime
from mg.errors import InputError
from mg.models import families
from mg.models.autoencoder import Autoencoder
from mg.training.build import Parts
from mg.training.learn import Batch, Learner, Rates
from mg.training.recipe import Recipe

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


def load(case: Case) -> Autoencoder:
    """The model, with tiles if the case has some."""
    return families.load(case.setup.weights, case.setup.dtype, use_tile=case.tiles is not None, **(case.tiles or {}))


def encode(case: Case) -> Run:
    """All that is no sample."""
    model, clip = load(case), Tensor(case.clip())
    return lambda: [result.asnumpy() for result in model.encode(clip, seed=0)[1:]]


def decode(case: Case) -> Run:
    model, latents = load(case), Tensor(case.noise())
    return lambda: [model.decode(latents).asnumpy()]


def train(case: Case) -> Run:
    """Steps as scripts/train.py takes them, L1 + KL with AdamW; gives the loss and the norm of its gradients."""
    given = {"model": case.setup.family, "ckpt_path": case.setup.weights, "dtype": case.setup.dtype}
    no_data = {"video_folder": str(Path(case.setup.weights).parent)}  # must be named, and is not read
    parts = Parts(Recipe.of({**given, **no_data, "perceptual_weight": 0.0}))
    learner, clip, rates = Learner(parts), Tensor(case.clip()), Rates(RATE, 0.0)
    noises = tuple(Tensor(case.noise(shape)) for shape in parts.forward.noise_shapes(clip.shape))

    def step() -> list[np.ndarray]:
        figures, _ = learner.step(0, [Batch(clip, noises)], rates)
        return [np.array(figures["total"]), np.array(figures["grad_norm"])]

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
    runtime.setup(case.setup.device_target, dtype=case.setup.dtype)
    rate = MatMulRate()
    run = {"encode": encode, "decode": decode, "train": train}[case.part](case)
    return run, {"matmul": rate, "profile": lambda folder: profiled(run, folder)}


if __name__ == "__main__":
    serve(build, InputError)
