"""One training step: gradients, accumulation, what is not finite, fp16, freezing, the discriminator."""

import numpy as np
import pytest
from conftest import random_clip, randomise
from mindspore import Tensor
from recipes import recipe

from mg.errors import InputError
from mg.models.layers.resnet import ResidualBlock
from mg.models.tae.names import is_temporal
from mg.training.build import Parts
from mg.training.checkpoint import Progress


def parts_of(folder, **changes):
    chosen = recipe(folder, **changes)
    parts = Parts(chosen.training, chosen.objective, 1)
    randomise(parts.model)
    return parts


def values(parts, prefix=""):
    return {name: p.asnumpy().copy() for name, p in parts.tensors.items() if name.startswith(prefix)}


def noise_for(parts, clip, seed=0):
    return random_clip(*parts.forward.noise_shape(clip.shape), seed=seed)


def learn(parts, clip, noise=None, rate=1e-3, number=0, progress=None):
    noise = noise_for(parts, clip) if noise is None else noise
    return parts.learn(clip, noise, rate, rate, number, progress or Progress())


@pytest.fixture(scope="module")
def sgd(tmp_path_factory):
    """Plain gradient descent without clipping, so that a step shows the gradients."""
    return parts_of(tmp_path_factory.mktemp("sgd"), optimizer="sgd", max_grad_norm=0.0, weight_decay=0.0)


def test_gradients_reach_every_parameter_and_agree_with_finite_differences(sgd):
    clip = random_clip(1, 3, 9, 16, 16)
    noise = noise_for(sgd, clip)
    start = values(sgd, "model.")
    loss = learn(sgd, clip, noise, rate=1.0)["total"]
    sgd.finish(1.0)
    gradients = {name: start[name] - after for name, after in values(sgd, "model.").items()}
    for name, value in start.items():
        sgd.tensors[name].set_data(Tensor(value))
    largest = max(np.abs(gradient).max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        if not name.endswith("attention.key.bias"):  # softmax does not see it
            assert np.abs(gradient).max() > 1e-6 * largest, name
    rng = np.random.default_rng(0)
    forward = sgd.step.gradients.loss
    _, (figures, _) = forward(clip, noise, Tensor(1.0), Tensor(0.0))
    assert figures.asnumpy()[0] == pytest.approx(loss, rel=1e-5)
    for some in ("encoder", "decoder", "temporal"):
        names = [name for name in start if some in name]
        direction = {name: rng.standard_normal(start[name].shape).astype(np.float32) for name in names}
        ends = []
        for sign in (1, -1):
            for name in names:
                sgd.tensors[name].set_data(Tensor(start[name] + sign * 2e-4 * direction[name]))
            _, (figures, _) = forward(clip, noise, Tensor(1.0), Tensor(0.0))
            ends.append(float(figures.asnumpy()[0]))
        for name in names:
            sgd.tensors[name].set_data(Tensor(start[name]))
        slope = sum(float((gradients[name].astype(np.float64) * direction[name]).sum()) for name in names)
        assert (ends[0] - ends[1]) / 4e-4 == pytest.approx(slope, rel=0.02), some


@pytest.mark.slow
def test_four_micro_batches_are_one_batch_of_four(tmp_path):
    clips = random_clip(4, 3, 4, 16, 16)
    changes = {"optimizer": "sgd", "learning_rate": 1e-5, "weight_decay": 0.0}
    whole = parts_of(tmp_path, **changes)
    noise = noise_for(whole, clips)
    before = values(whole, "model.")
    learn(whole, clips, noise, 1e-2)
    norm, _ = whole.finish(1e-2)
    parts = parts_of(tmp_path, gradient_accumulation_steps=4, **changes)
    for index in range(4):
        learn(parts, clips[index : index + 1], noise[index : index + 1])
    same_norm, kept = parts.finish(1e-2)
    assert kept == 1
    assert same_norm == pytest.approx(norm, rel=1e-5)
    moved = 0.0
    for name, value in values(parts, "model.").items():
        np.testing.assert_allclose(value, whole.tensors[name].asnumpy(), atol=1e-6, err_msg=name)
        moved = max(moved, np.abs(value - before[name]).max())
    assert moved > 1e-4
    for index in range(4):  # the sums were cleared: the same again gives the same norm as one batch does now
        learn(parts, clips[index : index + 1], noise[index : index + 1])
    learn(whole, clips, noise, 0.0)
    assert parts.finish(0.0)[0] == pytest.approx(whole.finish(0.0)[0], rel=1e-4)


def test_a_step_that_is_not_finite_changes_nothing_but_the_next_one_does(tmp_path):
    parts = parts_of(tmp_path, ema_decay=0.5)
    clip = random_clip(1, 3, 4, 16, 16)
    learn(parts, clip)
    assert parts.finish(1e-3)[1] == 1
    before = values(parts)
    broken = clip.asnumpy().copy()
    broken[0, 0, 0, 0, 0] = np.inf
    learn(parts, Tensor(broken))
    _, kept = parts.finish(1e-3)
    assert kept == 0
    for name, value in values(parts).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    learn(parts, clip)
    assert parts.finish(1e-3)[1] == 1
    assert any((value != before[name]).any() for name, value in values(parts, "model.").items())
    assert parts.graphs == 1


@pytest.mark.slow
def test_fp16_halves_its_loss_scale_on_overflow_and_doubles_it_after_good_steps(tmp_path):
    parts = parts_of(tmp_path, dtype="fp16", loss_scale=2.0**24, loss_scale_interval=2)
    clip = random_clip(1, 3, 4, 16, 16)
    before = values(parts, "model.")
    kept, scales = [], []
    for _ in range(24):
        assert np.isfinite(learn(parts, clip)["total"])
        kept.append(parts.finish(1e-4)[1])
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
    parts = parts_of(tmp_path)
    for _ in range(2):
        for frames in (1, 4):
            learn(parts, random_clip(1, 3, frames, 16, 16))
            parts.finish(1e-3)
    assert parts.graphs == 2


def test_freezing(tmp_path):
    parts = parts_of(tmp_path, freeze_spatial=True, freeze=["*bias"])
    before = values(parts, "model.")
    learn(parts, random_clip(1, 3, 4, 16, 16))
    parts.finish(1e-2)
    changed = {name for name, value in values(parts, "model.").items() if (value != before[name]).any()}
    assert changed == {name for name in before if is_temporal(name) and not name.endswith("bias")}
    with pytest.raises(InputError, match="matches no parameter"):
        parts_of(tmp_path, freeze=["nothing.like.it"])
    with pytest.raises(InputError, match="nothing to train"):
        parts_of(tmp_path, freeze=["*"])


@pytest.mark.slow
def test_a_discriminator_learns_and_is_heard_from_its_start_on(tmp_path):
    parts = parts_of(tmp_path, disc_weight=0.5, disc_start=1, disc_channels=8, lecam_weight=0.1)
    clip, progress = random_clip(1, 3, 4, 16, 16), Progress()
    before = values(parts, "adversarial.discriminator.")
    assert before
    first = learn(parts, clip, number=0, progress=progress)
    assert "discriminator" not in first
    assert progress.adversarial_weight == 0
    for name, value in values(parts, "adversarial.discriminator.").items():
        np.testing.assert_array_equal(value, before[name])
    second = learn(parts, clip, number=1, progress=progress)
    assert np.isfinite(second["discriminator"])
    assert 0 < progress.adversarial_weight < 1e4
    assert any((value != before[name]).any() for name, value in values(parts, "adversarial.discriminator.").items())
    third = learn(parts, clip, number=2, progress=progress)
    assert third["adversarial_weight"] > 0
    assert third["total"] == pytest.approx(
        third["reconstruction"] + 1e-6 * third["kl"] + third["adversarial_weight"] * third["adversarial"], rel=1e-5
    )
    assert float(parts.tensors["adversarial.lecam.real"].asnumpy()) != 0


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
    clip = random_clip(1, 3, 9, 16, 16)
    again = parts_of(tmp_path, optimizer="sgd", max_grad_norm=0.0, weight_decay=0.0, recompute=True)
    noise = noise_for(again, clip)
    _, expected = sgd.step.gradients(clip, noise, Tensor(0.0))
    _, gradients = again.step.gradients(clip, noise, Tensor(0.0))
    for a, b in zip(gradients, expected):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), rtol=1e-4, atol=1e-3)
