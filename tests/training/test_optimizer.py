"""AdamW, Muon and SGD against float64 computations of their own."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mg import runtime
from mg.training.optimizer import SGD, AdamW, Muon, orthogonalised, parameter_rules

SHAPES = {"conv.weight": (4, 3, 3, 3), "norm.gamma": (5,), "conv.temporal": (4, 4, 3, 1), "scale": ()}
MULTIPLIERS, DECAYS = (1.0, 1.0, 0.5, 2.0), (0.1, 0.0, 0.3, 0.2)
BETAS = (0.8, 0.99)


@pytest.fixture(params=["graph", "pynative"])
def mode(request):
    runtime.setup(mode=request.param)
    yield request.param
    runtime.setup()


def arrays(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(shape)).astype(np.float32) for shape in SHAPES.values()]


def parameters():
    return [Parameter(Tensor(a), name=name) for name, a in zip(SHAPES, arrays(0))]


def adamw(weights, betas=BETAS):
    return AdamW(weights, MULTIPLIERS, DECAYS, betas)


def with_rules(optimizer):
    return lambda weights: optimizer(weights, MULTIPLIERS, DECAYS)


def apply(optimizer, gradients, rate=0.01, keep=1.0):
    optimizer(tuple(map(Tensor, gradients)), Tensor(rate, ms.float32), Tensor(keep, ms.float32))


def bits(cell):
    return {p.name: p.asnumpy().tobytes() for p in cell.get_parameters()}


def expected_adamw(steps, betas=BETAS, eps=1e-8, rate=0.01):
    """Weights after the gradients of `steps`, one parameter at a time, from the paper's formula."""
    weights = [w.astype(np.float64) for w in arrays(0)]
    for i, (multiplier, decay) in enumerate(zip(MULTIPLIERS, DECAYS)):
        mean = square = 0.0
        for t, gradients in enumerate(steps, 1):
            g = gradients[i].astype(np.float64)
            mean = betas[0] * mean + (1 - betas[0]) * g
            square = betas[1] * square + (1 - betas[1]) * g**2
            direction = (mean / (1 - betas[0] ** t)) / (np.sqrt(square / (1 - betas[1] ** t)) + eps)
            weights[i] = weights[i] - rate * multiplier * (direction + decay * weights[i])
    return weights


def assert_close(weights, expected, atol=1e-6):
    for weight, wanted in zip(weights, expected):
        np.testing.assert_allclose(weight.asnumpy(), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("betas", [BETAS, (0.0, 0.99)])
def test_five_steps_of_adamw(mode, betas):
    weights, steps = parameters(), [arrays(seed, scale=10.0 ** (seed - 3)) for seed in range(1, 6)]
    optimizer = adamw(weights, betas)
    for gradients in steps:
        apply(optimizer, gradients)
    assert_close(weights, expected_adamw(steps, betas))
    assert float(optimizer.steps.asnumpy()) == 5


def test_the_first_step_is_as_long_as_the_rate():
    weights, gradients = parameters(), arrays(1, scale=1e-3)
    optimizer = AdamW(weights, (1.0,) * 4, (0.0,) * 4, eps=1e-20)
    apply(optimizer, gradients)
    assert_close(weights, [w - 0.01 * np.sign(g) for w, g in zip(arrays(0), gradients)], atol=3e-7)


def test_decay_does_not_pass_through_the_moments():
    weights = parameters()
    optimizer = adamw(weights)
    apply(optimizer, [np.zeros_like(a) for a in arrays(0)])
    shrinks = [1 - 0.01 * m * d for m, d in zip(MULTIPLIERS, DECAYS)]
    assert_close(weights, [w * s for w, s in zip(arrays(0), shrinks)], atol=3e-7)
    assert not any(p.asnumpy().any() for p in (*optimizer.means, *optimizer.squares))


@pytest.mark.parametrize("make", [adamw, with_rules(Muon), with_rules(SGD)])
def test_a_step_that_is_not_kept_changes_no_bit(make, mode):
    plain, other = make(parameters()), make(parameters())
    huge = [np.full_like(a, 3e38) for a in arrays(0)]
    for seed in range(1, 4):
        before = bits(other)
        apply(other, huge, keep=0.0)
        assert bits(other) == before
        apply(other, arrays(seed))
        apply(plain, arrays(seed))
        assert bits(other) == bits(plain) != before


def test_sgd(mode):
    weights, gradients = parameters(), arrays(1)
    apply(SGD(weights, MULTIPLIERS, DECAYS), gradients)
    rules = zip(arrays(0), gradients, MULTIPLIERS, DECAYS)
    assert_close(weights, [w - 0.01 * m * (g + d * w) for w, g, m, d in rules], atol=3e-7)


def polynomial(matrix):
    """What Jordan's five rounds make of the singular values, by a decomposition."""
    u, s, v = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.775 * s**3 + 2.0315 * s**5
    return (u * s) @ v


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (24, 24), (8, 1), (1, 8)])
def test_orthogonalised(shape, mode):
    matrix = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    result = orthogonalised(Tensor(matrix * 1e-6)).asnumpy()
    np.testing.assert_allclose(result, polynomial(matrix), rtol=0, atol=2e-5)
    singular_values = np.linalg.svd(result, compute_uv=False)
    assert singular_values.max() < 1.25 and np.median(singular_values) > 0.65
    assert not orthogonalised(Tensor(np.zeros(shape, np.float32))).asnumpy().any()


@pytest.mark.parametrize("scale", [1e-12, 1e-19, 1e-20, 1e-22, 1e-24, 1e-30, 1e-38])
def test_what_is_nearly_zero_stays_finite(scale):
    for shape in ((64, 576), (40, 1)):
        matrix = scale * np.random.default_rng(1).standard_normal(shape)
        assert np.isfinite(orthogonalised(Tensor(matrix.astype(np.float32))).asnumpy()).all()


@pytest.mark.parametrize("axes", [1, 4])
def test_muon_of_one_kind_only(mode, axes):
    weights = [p for p in parameters() if (len(p.shape) > 1) == (axes > 1)]
    before = [p.asnumpy().copy() for p in weights]
    optimizer = Muon(weights, (1.0,) * len(weights), (0.0,) * len(weights))
    apply(optimizer, [np.ones_like(p) for p in before])
    assert all((p.asnumpy() != old).all() for p, old in zip(weights, before))


def test_five_steps_of_muon(mode):
    weights, steps = parameters(), [arrays(seed, scale=10.0 ** (seed - 3)) for seed in range(1, 6)]
    optimizer = Muon(weights, MULTIPLIERS, DECAYS, momentum=0.9)
    others = [i for i, name in enumerate(SHAPES) if len(SHAPES[name]) < 2]
    chosen = AdamW([parameters()[i] for i in others], *[[rule[i] for i in others] for rule in (MULTIPLIERS, DECAYS)])
    for gradients in steps:
        apply(optimizer, gradients)
        apply(chosen, [gradients[i] for i in others])
    expected = [w.astype(np.float64) for w in arrays(0)]
    for i, (multiplier, decay) in enumerate(zip(MULTIPLIERS, DECAYS)):
        mean = np.zeros_like(expected[i])
        for gradients in steps:
            mean = 0.9 * mean + 0.1 * gradients[i]
            if i not in others:
                ahead = (0.9 * mean + 0.1 * gradients[i]).reshape(len(mean), -1)
                change = 0.2 * max(ahead.shape) ** 0.5 * polynomial(ahead).reshape(mean.shape)
                expected[i] = expected[i] - 0.01 * multiplier * (change + decay * expected[i])
    for i, weight in zip(others, chosen.weights):
        expected[i] = weight.asnumpy()
    assert_close(weights, expected, atol=2e-6)


def test_state_of_muon():
    weights = parameters()
    kernels, others = ("conv.weight", "conv.temporal"), ("norm.gamma", "scale")
    state = {p.name for p in Muon(weights, MULTIPLIERS, DECAYS).get_parameters()} - set(SHAPES)
    assert state == {
        *(f"muon.m.{name}" for name in kernels),
        *(f"adamw.{kind}.{name}" for kind in "mv" for name in others),
        "adamw.steps",
    }


def test_state_has_names_and_no_gradients():
    weights = parameters()
    optimizer = adamw(weights)
    state = {p.name: p for p in optimizer.get_parameters() if p.name.startswith("adamw.")}
    assert set(state) == {f"adamw.{kind}.{name}" for kind in "mv" for name in SHAPES} | {"adamw.steps"}
    assert not any(p.requires_grad for p in state.values())
    assert [p.name for p in weights] == list(SHAPES)
    assert [p.shape for p in optimizer.means] == list(SHAPES.values())


def test_rules_of_parameters():
    multipliers, decays = parameter_rules(parameters(), 0.05, 10.0, lambda name: "temporal" in name)
    assert multipliers == (1.0, 1.0, 10.0, 1.0)
    assert decays == (0.05, 0.0, 0.05, 0.0)


def test_rules_must_fit_the_parameters():
    with pytest.raises(ValueError, match="4 parameters"):
        AdamW(parameters(), (1.0,) * 3, DECAYS)
