"""The quantizer's losses: against the original's arrays, the plain softmax over all codes, and by what they mean."""

from __future__ import annotations

from itertools import product

import mindspore as ms
import numpy as np
import pytest
from conftest import graphs, msrun
from mindspore import Tensor, nn

from mg.losses.objective import Objective, objective_config, weight_at
from mg.models.o2_magvit2.model import O2Magvit2
from mg.models.o2_magvit2.terms import TERMS, BatchEntropy, SampleEntropy, commitment
from mg.models.terms import Facts

pytestmark = pytest.mark.usefixtures("uncompiled")
SHARPNESS = 100.0
WEIGHT = 0.25  # of the entropies at step 500
ENTROPY = {row.name: row.weight for row in TERMS}["sample_entropy"]


@pytest.fixture
def golden(shared):
    return np.load(shared / "golden/o2_magvit2_mini/lfq.npz")


def as_raw(tokens):
    """(B, tokens, bits) -> (B, bits, t, h, w)."""
    batch, count, bits = tokens.shape
    return Tensor(np.ascontiguousarray(tokens.swapaxes(1, 2).reshape(batch, bits, 1, 4, count // 4)))


def as_tokens(raw):
    batch, bits = raw.shape[:2]
    return raw.asnumpy().reshape(batch, bits, -1).swapaxes(1, 2)


def signs(raw):
    return Tensor(np.where(raw.asnumpy() > 0, np.float32(1), np.float32(-1)))


class Quantizer(nn.Cell):
    """The weighted sum of the quantizer's rows, as a recipe would have it."""

    def __init__(self, bits, gamma):
        super().__init__()
        off = dict.fromkeys(("reconstruction_weight", "perceptual_weight", "kl_weight"), 0.0)
        entropies = {"sample_entropy_weight": WEIGHT, "batch_entropy_weight": gamma * WEIGHT}
        config = objective_config(TERMS)(**off, **entropies)
        self.objective = Objective(config, ("raw", "codes"), Facts(config={"token_size": bits}))
        self.weights = self.objective.weights_at(500)

    def construct(self, raw, codes):
        return self.objective({"raw": raw, "codes": codes}, raw, self.weights)[0]


def check(got, expected, tolerance):
    """Relative to the largest value."""
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize(
    "case, tolerance, of_gradients", [("case0", 1e-5, 2e-5), ("case1", 1e-5, 3e-4), ("case2", 5e-4, 2e-3)]
)
def test_values_and_gradients_of_the_original(golden, case, tolerance, of_gradients):
    """Gradients of case1 are of probabilities next to 0 and 1, whose own noise in fp32 is 3e-4 of the largest."""
    raw = as_raw(golden[f"{case}_x"])
    bits, codes = raw.shape[1], signs(raw)
    parts = {
        "sample_entropy": SampleEntropy(SHARPNESS),
        "batch_entropy": BatchEntropy(bits, SHARPNESS, 1),
        "commitment": lambda x: commitment(x, codes),
    }
    for name, part in parts.items():
        value, gradient = ms.value_and_grad(part)(raw)
        check(value.asnumpy(), golden[f"{case}_{name}"][0], tolerance)
        check(as_tokens(gradient), golden[f"{case}_grad_{name}"], of_gradients)
    for suffix, gamma in (("", 1.0), ("_gamma05", 0.5)):
        if f"{case}{suffix}_quantize_loss" in golden.files:
            loss = Quantizer(bits, gamma)
            value, gradient = ms.value_and_grad(lambda x, loss=loss: loss(x, codes))(raw)
            check(value.asnumpy(), golden[f"{case}{suffix}_quantize_loss"][0], tolerance)
            check(as_tokens(gradient), golden[f"{case}{suffix}_grad_quantize_loss"], of_gradients)


def test_the_weight_of_the_entropies_falls_as_the_originals_does(golden):
    weights = [weight_at(ENTROPY, int(step)) for step in golden["steps"]]
    np.testing.assert_allclose(weights, golden["entropy_weight"], rtol=1e-6)


def plain(tokens, sharpness):
    """Both entropies by the softmax over all codes, in fp64."""
    corners = np.array(list(product((-1, 1), repeat=tokens.shape[-1])), np.float64)
    affinities = 2 * sharpness * tokens.reshape(-1, tokens.shape[-1]).astype(np.float64) @ corners.T
    logs = affinities - affinities.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    mean = np.exp(logs).mean(0)
    return -(np.exp(logs) * logs).sum(1).mean(), -(mean * np.log(mean + 1e-5)).sum()


@pytest.mark.parametrize("scale", [0.002, 0.02, 1.0])
def test_entropies_are_those_of_the_softmax_over_all_codes(scale):
    tokens = (scale * np.random.default_rng(0).standard_normal((2, 40, 10))).astype(np.float32)
    expected = plain(tokens, SHARPNESS)
    assert float(SampleEntropy(SHARPNESS)(as_raw(tokens))) == pytest.approx(expected[0], rel=1e-6, abs=1e-6)
    assert float(BatchEntropy(10, SHARPNESS, 1)(as_raw(tokens))) == pytest.approx(expected[1], rel=2e-6)


def test_large_inputs_stay_finite_in_value_and_gradient():
    tokens = 1e4 * np.random.default_rng(0).uniform(-1, 1, (1, 8, 18)).astype(np.float32)
    tokens[0, 0], tokens[0, 1] = 0, 1e4
    for part in (SampleEntropy(SHARPNESS), BatchEntropy(18, SHARPNESS, 1)):
        value, gradient = ms.value_and_grad(part)(as_raw(tokens))
        assert np.isfinite(value.asnumpy()) and np.isfinite(gradient.asnumpy()).all()


def test_half_precision_is_computed_in_fp32():
    tokens = (0.01 * np.random.default_rng(0).standard_normal((1, 16, 8))).astype(np.float16)
    for part in (SampleEntropy(SHARPNESS), BatchEntropy(8, SHARPNESS, 1)):
        value = part(as_raw(tokens))
        assert value.dtype == ms.float32
        assert float(value) == float(part(as_raw(tokens.astype(np.float32))))


def test_equal_tokens_cost_more_than_different_ones():
    """The sign: a token shall be sure of its code, and the batch shall use many."""
    different = np.array(list(product((-1.0, 1.0), repeat=4)), np.float32)[None]
    equal = np.repeat(different[:, :1], 16, 1)
    loss = Quantizer(4, 1.0)
    costs = [float(loss(as_raw(tokens), signs(as_raw(tokens)))) for tokens in (equal, different)]
    assert costs[0] > costs[1]
    assert costs[0] - costs[1] == pytest.approx(WEIGHT * np.log(16), rel=1e-3)


TWO_RANKS = """
import sys
import numpy as np
import mindspore as ms
from mindspore import Tensor, ops
from mg import distributed, runtime
from mg.models.o2_magvit2.terms import BatchEntropy

runtime.setup()
rank, ranks = distributed.start()
raw = Tensor(np.load(sys.argv[1])[rank : rank + 1])
class Step(ms.nn.Cell):
    def __init__(self):
        super().__init__()
        self.both = ops.value_and_grad(BatchEntropy(raw.shape[1], 100.0, ranks), 0)
        self.gather = ops.AllGather()
    def construct(self, x):
        value, gradient = self.both(x)
        return value, self.gather(gradient) / ranks  # the mean over ranks that the update takes
value, gradients = Step()(raw)
if rank == 0:
    np.savez(sys.argv[2], value=value.asnumpy(), gradients=gradients.asnumpy())
"""


@pytest.mark.slow
def test_two_ranks_have_the_entropy_of_one_process_in_value_and_gradient(tmp_path):
    raw = as_raw((0.01 * np.random.default_rng(0).standard_normal((2, 16, 8))).astype(np.float32))
    np.save(tmp_path / "raw.npy", raw.asnumpy())
    (tmp_path / "ranks.py").write_text(TWO_RANKS)
    msrun(tmp_path / "ranks.py", tmp_path / "raw.npy", tmp_path / "result.npz", folder=tmp_path)
    result = np.load(tmp_path / "result.npz")
    value, gradient = ms.value_and_grad(BatchEntropy(8, SHARPNESS, 1))(raw)
    assert float(result["value"]) == pytest.approx(float(value), rel=1e-6)
    gradient = gradient.asnumpy()  # near zero it is the difference of large sums, added up in another order
    np.testing.assert_allclose(result["gradients"], gradient, rtol=1e-4, atol=5e-6 * np.abs(gradient).max())


def test_the_family_has_these_rows_as_terms():
    assert O2Magvit2.terms == TERMS
    assert {row.name for row in TERMS if row.maximised} == {"batch_entropy"}
    with graphs():  # as a training step has it
        raw = as_raw((0.01 * np.random.default_rng(0).standard_normal((1, 16, 8))).astype(np.float32))
        in_graph = ms.value_and_grad(Quantizer(8, 1.0))(raw, signs(raw))
    one_by_one = ms.value_and_grad(Quantizer(8, 1.0))(raw, signs(raw))
    for graph, single in zip(in_graph, one_by_one):
        np.testing.assert_allclose(graph.asnumpy(), single.asnumpy(), rtol=1e-4, atol=1e-6)
