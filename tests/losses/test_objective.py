"""The weighted sum, which terms it holds, and what its configuration refuses."""

from dataclasses import replace

import mindspore as ms
import pytest
from conftest import random_clip
from mindspore import nn

from mg.errors import InputError
from mg.models.lpips import network
from mg.losses.kl import kl
from mg.models.lpips.network import Distance, perceptual
from mg.losses.objective import Objective, ObjectiveConfig
from mg.losses.outlier_penalty import outlier_penalty
from mg.losses.reconstruction import reconstruction, squared_error

PLAIN = ObjectiveConfig(perceptual_weight=0.0)


def outputs(dtype=ms.float32):
    mean, logvar = random_clip(1, 4, 1, 2, 2, seed=2), random_clip(1, 4, 1, 2, 2, seed=3)
    mean[0, :, 0, 0, 0] = 9.0
    recon = random_clip(1, 3, 2, 16, 16, seed=1)
    return {"reconstruction": recon.astype(dtype), "mean": mean.astype(dtype), "logvar": logvar.astype(dtype)}


def test_defaults_are_the_specified_weights():
    assert ObjectiveConfig().weights == {"reconstruction": 1.0, "perceptual": 1.0, "kl": 1e-6}
    assert ObjectiveConfig(use_outlier_penalty_loss=True).weights["outlier_penalty"] == 1e5
    assert ObjectiveConfig().disc_weight == 0 and ObjectiveConfig().outlier_limit == 3.0


def test_total_is_the_weighted_sum_of_all_terms(tmp_path):
    network = Distance("vgg")
    lpips.write(tmp_path / "lpips.ckpt", network, biases=True)
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
    objective = Objective(config, time_compression=8)
    total, terms = objective(given, clip)
    expected = {
        "reconstruction": reconstruction(clip, given["reconstruction"]),
        "squared_error": squared_error(clip, given["reconstruction"]),
        "perceptual": perceptual(network, clip, given["reconstruction"]),
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
    objective = Objective(replace(PLAIN, kl_weight=0.0), 8)
    clip = random_clip(1, 3, 2, 16, 16)
    total, terms = objective({"reconstruction": outputs()["reconstruction"]}, clip)
    assert list(terms) == ["reconstruction"] and float(total) == float(terms["reconstruction"])
    assert list(objective.get_parameters()) == []


@pytest.mark.parametrize("dtype, tolerance", [(ms.float16, 1e-3), (ms.bfloat16, 1e-2)])
def test_half_precision_outputs_give_fp32_terms(dtype, tolerance):
    clip, objective = random_clip(1, 3, 2, 16, 16), Objective(replace(PLAIN, use_outlier_penalty_loss=True), 8)
    full, half = objective(outputs(), clip), objective(outputs(dtype), clip)
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
    """Total and terms of a model's outputs, with gradients, in one graph."""

    def __init__(self, model, objective):
        super().__init__()
        self.model = model
        self.objective = objective
        self.step = ms.value_and_grad(self.forward, None, ms.ParameterTuple(model.trainable_params()), has_aux=True)

    def forward(self, clip):
        return self.objective(self.model(clip), clip)

    def construct(self, clip):
        return self.step(clip)


def test_terms_come_out_of_a_compiled_gradient_by_name():
    model, clip = Toy(), random_clip(1, 3, 1, 16, 16)
    (total, terms), gradients = Step(model, Objective(replace(PLAIN, kl_weight=1.0), 8))(clip)
    assert set(terms) == {"reconstruction", "kl"}
    assert float(total) == pytest.approx(float(terms["reconstruction"]) + float(terms["kl"]), rel=1e-6)
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)


def test_perceptual_weight_without_weights_is_refused():
    with pytest.raises(InputError, match=r"convert_lpips\.py.*perceptual_weight: 0"):
        Objective(ObjectiveConfig(), 8)


@pytest.mark.parametrize(
    "field, value",
    [
        ("kl_weight", -1.0),
        ("reconstruction_weight", float("nan")),
        ("perceptual_weight", "1"),
        ("outlier_limit", True),
        ("disc_kind", "video"),
        ("disc_start", -1),
        ("disc_channels", 12),
        ("disc_channels", 0),
        ("use_outlier_penalty_loss", 1),
    ],
)
def test_wrong_settings_are_named(field, value):
    with pytest.raises(InputError, match=f"{field}={value!r}"):
        ObjectiveConfig(**{field: value})


def test_an_objective_without_any_term_is_refused():
    with pytest.raises(InputError, match="nothing to minimise"):
        ObjectiveConfig(reconstruction_weight=0, perceptual_weight=0, kl_weight=0)
