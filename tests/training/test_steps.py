"""One training step: gradients, accumulation, what is not finite, fp16, freezing, the discriminator."""

import numpy as np
import pytest
from conftest import random_clip, randomise
from mindspore import Tensor
from recipes import recipe

from mg.errors import InputError
from mg.models.layers.resnet import ResidualBlock
from mg.training.build import Parts
from mg.training.learn import Batch, Learner, Rates


def parts_of(folder, **changes):
    parts = Parts(recipe(folder, **changes))
    randomise(parts.model)
    return parts


def learner_of(folder, **changes):
    return Learner(parts_of(folder, **changes), changes.get("gradient_accumulation_steps", 1))


def values(learner, prefix=""):
    return {name: p.asnumpy().copy() for name, p in learner.parts.tensors.items() if name.startswith(prefix)}


def batch_of(learner, clip):
    noises = learner.parts.forward.noise_shapes(clip.shape)
    return Batch(clip, tuple(random_clip(*shape) for shape in noises))


def learn(learner, *batches, rate=1e-3, number=0, ratio=0.0):
    return learner.step(number, batches, Rates(rate, rate), ratio)[0]


@pytest.fixture(scope="module")
def sgd(tmp_path_factory):
    """Plain gradient descent without clipping, so that a step shows the gradients."""
    return learner_of(tmp_path_factory.mktemp("sgd"), optimizer="sgd", max_grad_norm=0.0, weight_decay=0.0)


@pytest.mark.slow
def test_gradients_reach_every_parameter_and_agree_with_finite_differences(sgd):
    batch = batch_of(sgd, random_clip(1, 3, 9, 16, 16))
    start, tensors = values(sgd, "model."), sgd.parts.tensors
    loss = learn(sgd, batch, rate=1.0)["total"]
    gradients = {name: start[name] - after for name, after in values(sgd, "model.").items()}
    for name, value in start.items():
        tensors[name].set_data(Tensor(value))
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        if not name.endswith("attention.key.bias"):  # softmax does not see it
            assert np.abs(gradient).max() > 1e-6 * largest, name
    rng = np.random.default_rng(0)
    inputs = Tensor(1.0), sgd.parts.objective.weights_at(0), Tensor(0.0), batch.clip, *batch.noises
    _, (figures, _) = sgd.parts.loss(*inputs)
    assert figures.asnumpy()[0] == pytest.approx(loss, rel=1e-5)
    for some in ("encoder", "decoder", "temporal"):
        names = [name for name in start if some in name]
        direction = {name: rng.standard_normal(start[name].shape).astype(np.float32) for name in names}
        ends = []
        for sign in (1, -1):
            for name in names:
                tensors[name].set_data(Tensor(start[name] + sign * 2e-4 * direction[name]))
            _, (figures, _) = sgd.parts.loss(*inputs)
            ends.append(float(figures.asnumpy()[0]))
        for name in names:
            tensors[name].set_data(Tensor(start[name]))
        slope = sum(float((gradients[name].astype(np.float64) * direction[name]).sum()) for name in names)
        assert (ends[0] - ends[1]) / 4e-4 == pytest.approx(slope, rel=0.02), some


@pytest.mark.slow
def test_four_micro_batches_are_one_batch_of_four(tmp_path):
    changes = {"optimizer": "sgd", "learning_rate": 1e-5, "weight_decay": 0.0}
    whole = learner_of(tmp_path, **changes)
    batch = batch_of(whole, random_clip(4, 3, 4, 16, 16))
    singles = [Batch(batch.clip[i : i + 1], (batch.noises[0][i : i + 1],)) for i in range(4)]
    before = values(whole, "model.")
    norm = learn(whole, batch, rate=1e-2)["grad_norm"]
    parts = learner_of(tmp_path, gradient_accumulation_steps=4, **changes)
    figures = learn(parts, *singles, rate=1e-2)
    assert figures["kept"] == 1
    assert figures["grad_norm"] == pytest.approx(norm, rel=1e-5)
    moved = 0.0
    for name, value in values(parts, "model.").items():
        np.testing.assert_allclose(value, whole.parts.tensors[name].asnumpy(), atol=1e-6, err_msg=name)
        moved = max(moved, np.abs(value - before[name]).max())
    assert moved > 1e-4
    # The sums were cleared: the same again gives the same norm as one batch does now.
    again = learn(parts, *singles, rate=0.0)["grad_norm"]
    assert again == pytest.approx(learn(whole, batch, rate=0.0)["grad_norm"], rel=1e-4)


@pytest.mark.slow
def test_a_step_that_is_not_finite_changes_nothing_but_the_next_one_does(tmp_path):
    learner = learner_of(tmp_path, ema_decay=0.5)
    batch = batch_of(learner, random_clip(1, 3, 4, 16, 16))
    assert learn(learner, batch)["kept"] == 1
    before = values(learner)
    broken = batch.clip.asnumpy().copy()
    broken[0, 0, 0, 0, 0] = np.inf
    assert learn(learner, Batch(Tensor(broken), batch.noises))["kept"] == 0
    for name, value in values(learner).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    assert learn(learner, batch)["kept"] == 1
    assert any((value != before[name]).any() for name, value in values(learner, "model.").items())
    assert learner.graphs == 1


@pytest.mark.slow
def test_fp16_halves_its_loss_scale_on_overflow_and_doubles_it_after_good_steps(tmp_path):
    learner = learner_of(tmp_path, dtype="fp16", loss_scale=2.0**24, loss_scale_interval=2)
    parts, batch = learner.parts, batch_of(learner, random_clip(1, 3, 4, 16, 16))
    before = values(learner, "model.")
    kept, scales = [], []
    for _ in range(24):
        figures = learn(learner, batch, rate=1e-4)
        assert np.isfinite(figures["total"])
        kept.append(figures["kept"])
        scales.append(float(parts.loss_scale.scale.asnumpy()))
        if sum(kept) == 1:
            assert all((parts.tensors[name].asnumpy() == value).all() for name, value in before.items()) is False
    first = kept.index(1)
    assert first > 0, "it did not overflow"
    np.testing.assert_array_equal(scales[:first], 2.0 ** (23 - np.arange(first)))
    assert scales[first] == scales[first - 1]
    assert scales[first + 1] == 2 * scales[first]
    assert parts.model.encoder.conv_in.spatial.weight.dtype == parts.model.encoder.norm_out.weight.dtype


@pytest.mark.slow
def test_images_and_videos_cost_two_graphs(tmp_path):
    learner = learner_of(tmp_path)
    for _ in range(2):
        for frames in (1, 4):
            learn(learner, batch_of(learner, random_clip(1, 3, frames, 16, 16)))
    assert learner.graphs == 2


@pytest.mark.slow
def test_freezing(tmp_path):
    learner = learner_of(tmp_path, freeze_spatial=True, freeze=["*bias", "decoder*"])
    before = values(learner, "model.")
    learn(learner, batch_of(learner, random_clip(1, 3, 4, 16, 16)), rate=1e-2)
    changed = {name for name, value in values(learner, "model.").items() if (value != before[name]).any()}
    free = (name for name in before if not name.startswith("model.decoder") and not name.endswith("bias"))
    assert changed == set(filter(learner.parts.model.is_added, free))
    with pytest.raises(InputError, match="matches no parameter"):
        parts_of(tmp_path, freeze=["nothing.like.it"])
    with pytest.raises(InputError, match="nothing to train"):
        parts_of(tmp_path, freeze=["*"])


@pytest.mark.slow
def test_a_discriminator_learns_and_is_heard_from_its_start_on(tmp_path):
    learner = learner_of(tmp_path, disc_weight=0.5, disc_start=1, disc_channels=8, lecam_weight=0.1)
    batch, rates, of_adversary = batch_of(learner, random_clip(1, 3, 4, 16, 16)), Rates(1e-3, 1e-3), "adversarial."
    before = values(learner, of_adversary + "discriminator.")
    assert before
    first, ratio = learner.step(0, [batch], rates)
    assert "discriminator" not in first
    assert ratio == 0
    for name, value in values(learner, of_adversary + "discriminator.").items():
        np.testing.assert_array_equal(value, before[name])
    second, ratio = learner.step(1, [batch], rates, ratio)
    assert np.isfinite(second["discriminator"])
    assert 0 < ratio < 1e4
    after = values(learner, of_adversary + "discriminator.")
    assert any((value != before[name]).any() for name, value in after.items())
    third, _ = learner.step(2, [batch], rates, ratio)
    assert third["adversarial_weight"] == pytest.approx(0.5 * ratio)
    assert third["total"] == pytest.approx(
        third["reconstruction"] + 1e-6 * third["kl"] + third["adversarial_weight"] * third["adversarial"], rel=1e-5
    )
    assert float(learner.parts.tensors[of_adversary + "lecam.real"].asnumpy()) != 0


@pytest.mark.parametrize(("levels", "expected"), [(0, 10), (1, 3), (2, 10)])
def test_recomputation_by_level(tmp_path, monkeypatch, levels, expected):
    chosen = []
    monkeypatch.setattr(ResidualBlock, "recompute", lambda block: chosen.append(block))
    model = parts_of(tmp_path, recompute=True, recompute_levels=levels).model
    assert len(set(map(id, chosen))) == len(chosen) == expected
    assert model.encoder.levels[0].blocks[0] in chosen and model.decoder.levels[1].blocks[0] in chosen
    assert (model.encoder.middle.block1 in chosen) == (expected == 10)


def test_recomputation_of_more_levels_than_there_are(tmp_path):
    with pytest.raises(InputError, match="recompute_levels=3 must be at most 2"):
        parts_of(tmp_path, recompute=True, recompute_levels=3)


@pytest.mark.slow
def test_recomputation_changes_no_gradient(tmp_path, sgd):
    again = parts_of(tmp_path, optimizer="sgd", max_grad_norm=0.0, weight_decay=0.0, recompute=True)
    batch = batch_of(sgd, random_clip(1, 3, 9, 16, 16))
    inputs = sgd.parts.objective.weights_at(0), Tensor(0.0), batch.clip, *batch.noises
    (_, expected), (_, gradients) = (parts.gradients(*inputs) for parts in (sgd.parts, again))
    for a, b in zip(gradients, expected):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-4, atol=1e-3)
