"""A whole training step of the generator against what the original's classes computed: losses, tokens, gradients."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor
from test_golden_stylegan import clips, discriminator

from mg.losses.adversarial import generator_non_saturating
from mg.losses.objective import Objective, facts_of, objective_config
from mg.models import weights
from mg.models.o2_magvit2.convert import convert
from mg.models.o2_magvit2.names import to_ours
from mg.training.discriminate import Adversarial
from mg.training.step import Loss

STEP, ADVERSARIAL, PERCEPTUAL = 500, 0.1, 0.1 * 0.25  # the original's perceptual term is a constant in these arrays
OFF = dict.fromkeys(("reconstruction_weight", "perceptual_weight", "kl_weight"), 0.0)
RECON, LOSS, ENTROPY, GRADIENT = 2e-4, 1e-5, 5e-4, 2e-3


@pytest.fixture
def folder(shared):
    return shared / "golden/o2_magvit2_mini"


def relative(got, expected):
    """The largest difference by the largest value."""
    return np.abs(np.asarray(got) - expected).max() / np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.usefixtures("uncompiled")
def test_a_step_of_the_generator(folder):
    golden = np.load(folder / "step.npz")
    model = convert(folder / "weights.safetensors")
    forward, (judge, _) = model.training_forward(), discriminator(folder, "3d")
    config = objective_config(model.terms)(**OFF, mean_squared_error_weight=5.0)
    objective = Objective(config, forward.outputs, facts_of(model))
    heard = Adversarial(judge, generator_non_saturating, ms.float32)
    loss = Loss(forward, objective, heard, model.latents.counted)
    parameters = weights.named_parameters(model)
    inputs = Tensor(1.0), objective.weights_at(STEP), Tensor(ADVERSARIAL), clips(golden, "step_video")
    gradients_of = ms.value_and_grad(loss, None, ParameterTuple(parameters.values()), has_aux=True)
    (total, (figures, recon, codes)), gradients = gradients_of(*inputs)

    np.testing.assert_array_equal(model.latents.integers(codes.asnumpy()).reshape(1, -1), golden["step.indices"])
    assert np.abs(recon.asnumpy()[:, :, (0, 8, 16)] - golden["step.recon_part"]).max() < RECON
    figures = dict(zip(loss.names, figures.asnumpy().tolist()))
    names = {"mean_squared_error": "recon_loss", "adversarial": "g_adversarial", "commitment": "commitment"}
    for ours, theirs in names.items():
        assert figures[ours] == pytest.approx(golden[f"step.{theirs}"][0], rel=LOSS)
    for name in ("sample_entropy", "batch_entropy"):
        assert figures[name] == pytest.approx(golden[f"step.{name}"][0], rel=ENTROPY)
    quantizer = 0.25 * (figures["sample_entropy"] - figures["batch_entropy"] + figures["commitment"])
    assert quantizer == pytest.approx(golden["step.quantize_loss"][0], rel=ENTROPY)
    assert float(total) + PERCEPTUAL == pytest.approx(golden["step.g_total"][0], rel=ENTROPY)

    by_name = dict(zip(parameters, (gradient.asnumpy() for gradient in gradients)))
    theirs = {key.split("step.grad.")[1]: golden[key] for key in golden.files if key.startswith("step.grad.")}
    assert len(theirs) == 6
    for ours, name in to_ours(theirs).items():
        assert relative(by_name[ours].reshape(theirs[name].shape), theirs[name]) < GRADIENT, ours
    norm = np.sqrt(sum(np.square(gradient, dtype=np.float64).sum() for gradient in by_name.values()))
    assert norm == pytest.approx(golden["step.grad_norm_all"][0], rel=GRADIENT)
