"""The weighted sum, which terms it holds, and what its configuration refuses."""

import re
from dataclasses import fields, replace

import mindspore as ms
import pytest
from conftest import random_clip
from mindspore import Tensor, nn, ops

from mg.config import as_mapping, build, setting
from mg.errors import InputError
from mg.losses.kl import kl
from mg.losses.objective import Figures, Objective, ObjectiveConfig, objective_config, weight_at
from mg.losses.outlier_penalty import outlier_penalty
from mg.losses.perceptual import perceptual
from mg.losses.reconstruction import reconstruction, squared_error
from mg.models.lpips import network
from mg.models.terms import Facts, Term

PLAIN = ObjectiveConfig(perceptual_weight=0.0)
GIVEN = ("reconstruction", "mean", "logvar")


def objective_of(config, time_compression=8, given=GIVEN):
    return Objective(config, given, Facts(time_compression))


def evaluate(objective, outputs, clip, step=0):
    return objective(outputs, clip, objective.weights_at(step))


def outputs(dtype=ms.float32):
    mean, logvar = random_clip(1, 4, 1, 2, 2, seed=2), random_clip(1, 4, 1, 2, 2, seed=3)
    mean[0, :, 0, 0, 0] = 9.0
    recon = random_clip(1, 3, 2, 16, 16, seed=1)
    return {"reconstruction": recon.astype(dtype), "mean": mean.astype(dtype), "logvar": logvar.astype(dtype)}


def test_defaults_are_the_specified_weights():
    assert ObjectiveConfig().weights == {"reconstruction": 1.0, "perceptual": 1.0, "kl": 1e-6}
    assert ObjectiveConfig(use_outlier_penalty_loss=True).weights["outlier_penalty"] == 1e5
    assert ObjectiveConfig().outlier_limit == 3.0


def test_total_is_the_weighted_sum_of_all_terms(tmp_path):
    distance = network.Distance("vgg")
    network.write(tmp_path / "lpips.ckpt", distance, biases=True)
    config = ObjectiveConfig(
        reconstruction_weight=0.5,
        squared_error_weight=0.25,
        perceptual_weight=2.0,
        kl_weight=3.0,
        use_outlier_penalty_loss=True,
        outlier_penalty_weight=7.0,
        outlier_limit=1.0,
        lpips_weights=str(tmp_path / "lpips.ckpt"),
    )
    clip, given = random_clip(1, 3, 2, 16, 16), outputs()
    objective = objective_of(config)
    total, terms = evaluate(objective, given, clip)
    expected = {
        "reconstruction": reconstruction(clip, given["reconstruction"]),
        "squared_error": squared_error(clip, given["reconstruction"]),
        "perceptual": perceptual(distance, clip, given["reconstruction"]),
        "kl": kl(given["mean"], given["logvar"], 8),
        "outlier_penalty": outlier_penalty(given["mean"], 1.0),
    }
    assert tuple(terms) == objective.names == tuple(expected)
    for name, term in terms.items():
        assert float(term) == pytest.approx(float(expected[name]), rel=1e-5) and float(term) > 0, name
    by_hand = sum(weight * float(terms[name]) for name, weight in config.weights.items())
    assert float(total) == pytest.approx(by_hand, rel=1e-6)
    assert objective.trainable_params() == []


def test_terms_that_are_off_ask_for_nothing():
    objective = objective_of(replace(PLAIN, kl_weight=0.0), given=("reconstruction",))
    clip = random_clip(1, 3, 2, 16, 16)
    total, terms = evaluate(objective, {"reconstruction": outputs()["reconstruction"]}, clip)
    assert list(terms) == ["reconstruction"] and float(total) == float(terms["reconstruction"])
    assert list(objective.get_parameters()) == []


@pytest.mark.parametrize("dtype, tolerance", [(ms.float16, 1e-3), (ms.bfloat16, 1e-2)])
def test_half_precision_outputs_give_fp32_terms(dtype, tolerance):
    clip, objective = random_clip(1, 3, 2, 16, 16), objective_of(replace(PLAIN, use_outlier_penalty_loss=True))
    full, half = evaluate(objective, outputs(), clip), evaluate(objective, outputs(dtype), clip)
    for name, term in half[1].items():
        assert term.dtype == ms.float32
        assert float(term) == pytest.approx(float(full[1][name]), rel=tolerance), name
    assert half[0].dtype == ms.float32


class Toy(nn.Cell):
    """A model that gives a dict of outputs, as every family does."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Dense(16, 4)
        self.decode = nn.Dense(4, 16)

    def construct(self, clip):
        mean = self.encode(clip)
        return {"reconstruction": self.decode(mean), "mean": mean, "logvar": 0.1 * mean}


class Step(nn.Cell):
    """Total and terms, in the order of their names, of a model's outputs, with gradients, in one graph."""

    def __init__(self, model, objective):
        super().__init__()
        self.model = model
        self.objective = objective
        self.step = ms.value_and_grad(self.forward, None, ms.ParameterTuple(model.trainable_params()), has_aux=True)

    def forward(self, clip, weights):
        total, terms = self.objective(self.model(clip), clip, weights)
        return total, ops.stack([terms[name] for name in self.objective.names])

    def construct(self, clip, weights):
        return self.step(clip, weights)


def test_terms_come_out_of_a_compiled_gradient_by_name():
    model, clip = Toy(), random_clip(1, 3, 1, 16, 16)
    objective = objective_of(replace(PLAIN, kl_weight=1.0))
    (total, terms), gradients = Step(model, objective)(clip, objective.weights_at(0))
    assert objective.names == ("reconstruction", "kl")
    assert float(total) == pytest.approx(float(terms[0]) + float(terms[1]), rel=1e-6)
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)


def test_perceptual_weight_without_weights_is_refused():
    with pytest.raises(InputError, match=r"convert_lpips\.py.*perceptual_weight: 0"):
        objective_of(ObjectiveConfig())


@pytest.mark.parametrize(
    "field, value",
    [
        ("kl_weight", -1.0),
        ("reconstruction_weight", float("nan")),
        ("perceptual_weight", "1"),
        ("outlier_limit", True),
        ("kl_weight", (1.0, -1.0, 5)),
        ("kl_weight", (1.0, 2.0)),
        ("kl_weight", (1.0, 2.0, 0.5)),
        ("use_outlier_penalty_loss", 1),
    ],
)
def test_wrong_settings_are_named(field, value):
    with pytest.raises(InputError, match=re.escape(f"{field}={value!r}")):
        ObjectiveConfig(**{field: value})


def test_an_objective_without_any_term_is_refused():
    with pytest.raises(InputError, match="nothing to minimise"):
        ObjectiveConfig(reconstruction_weight=0, perceptual_weight=0, kl_weight=0)


def test_a_missing_output_is_named_with_the_term_that_needs_it():
    with pytest.raises(
        InputError, match=r"^kl_weight: .*needs logvar, .*gives reconstruction, mean; set kl_weight: 0$"
    ):
        objective_of(PLAIN, given=("reconstruction", "mean"))
    with pytest.raises(InputError, match="outlier_penalty_weight: the term needs mean"):
        objective_of(replace(PLAIN, kl_weight=0.0, use_outlier_penalty_loss=True), given=("reconstruction", "codes"))


def test_a_weight_that_moves_against_a_written_list():
    assert [weight_at((0.5, 0.1, 4), step) for step in range(6)] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    assert weight_at((0.3, 0.1, 2000), 2000) == weight_at((0.3, 0.1, 2000), 10**6) == 0.1
    assert weight_at((0.0, 2.0, 1), 0) == 0 and weight_at((0.0, 2.0, 1), 1) == 2
    assert weight_at(3, 7) == 3
    with pytest.raises(InputError, match=r"kl_weight=\[0.1, 0.2, 0\] must be .* steps of at least 1"):
        ObjectiveConfig(kl_weight=[0.1, 0.2, 0])


def test_a_weight_that_moves_is_on_and_reaches_the_total():
    objective = objective_of(replace(PLAIN, kl_weight=[0.0, 2.0, 4]))
    clip = random_clip(1, 3, 2, 16, 16)
    for step, weight in ((0, 0.0), (1, 0.5), (9, 2.0)):
        total, terms = evaluate(objective, outputs(), clip, step)
        assert float(total) == pytest.approx(float(terms["reconstruction"]) + weight * float(terms["kl"]), rel=1e-6)
    assert objective_of(replace(PLAIN, kl_weight=[2.0, 0.0, 4])).names == ("reconstruction", "kl")


class Spread(nn.Cell):
    """Codes' distance from `goal`, over all ranks."""

    def __init__(self, goal, ranks):
        super().__init__()
        self.goal, self.ranks = goal, ranks

    def construct(self, codes):
        return (codes - self.goal).abs().mean() * self.ranks


SPREAD = Term(
    "spread",
    ("codes",),
    "how far codes are from spread_goal",
    cell=lambda config, facts: Spread(config.spread_goal, facts.ranks),
    weight=0.5,
    settings=(("spread_goal", "float", setting(1.0, "what codes should be", 0)),),
)


def test_a_family_brings_its_own_terms_with_settings_of_their_own():
    kind = objective_config((SPREAD,))
    assert [field.name for field in fields(kind)][-2:] == ["spread_weight", "spread_goal"]
    (config,) = build((kind,), {"perceptual_weight": 0, "kl_weight": 0, "spread_goal": 2, "spread_weight": [1, 0, 9]})
    assert as_mapping(config)["spread_weight"] == [1.0, 0.0, 9]
    objective = Objective(config, ("reconstruction", "codes"), Facts(4, ranks=2))
    clip = random_clip(1, 3, 2, 16, 16)
    given = {"reconstruction": clip, "codes": Tensor([[1.0, -1.0]], ms.float32)}
    total, terms = evaluate(objective, given, clip)
    assert float(terms["spread"]) == float(total) == 4
    with pytest.raises(InputError, match="spread_goal=-1"):
        kind(spread_goal=-1.0)
    with pytest.raises(ValueError, match="twice"):
        objective_config((SPREAD, SPREAD))


def test_figures_are_of_the_terms_that_can_be_computed():
    objective = objective_of(replace(PLAIN, kl_weight=[1.0, 3.0, 2], squared_error_weight=0.5))
    clip, given, weights = random_clip(1, 3, 2, 16, 16), outputs(), objective.weights_at(1)
    whole, part = Figures(objective, GIVEN), Figures(objective, ("reconstruction",))
    _, terms = objective(given, clip, weights)
    figures = whole.by_name(weights, clip, given)
    assert {name: pytest.approx(float(term)) for name, term in terms.items()} == {
        name: value for name, value in figures.items() if name != "total"
    }
    fewer = part.by_name(weights, clip, given)
    assert list(fewer) == ["total", "reconstruction", "squared_error"]
    assert figures["total"] == pytest.approx(fewer["total"] + 2 * figures["kl"], rel=1e-6)


def spread(mean):
    return (mean * mean).mean()


@pytest.mark.usefixtures("uncompiled")
def test_what_is_maximised_is_subtracted():
    term = Term("spread", ("mean",), "of latents", function=spread, maximised=True, weight=2)
    config = objective_config((term,))(reconstruction_weight=0.0, perceptual_weight=0.0, kl_weight=0.0)
    total, terms = evaluate(objective_of(config), outputs(), random_clip(1, 3, 2, 16, 16))
    assert float(terms["spread"]) > 0
    assert float(total) == pytest.approx(-2 * float(terms["spread"]))
