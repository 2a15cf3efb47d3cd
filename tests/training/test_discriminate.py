"""The discriminator's own step: its weight, R1, LeCAM, its choices of losses; on a toy."""

import mindspore as ms
import numpy as np
import pytest
from conftest import random_clip
from mindspore import ParameterTuple, Tensor, nn
from recipes import recipe
from toy import RATES, Discriminator, batch_of, parts_of

from mg.errors import InputError
from mg.losses.adversarial import by_clip, gradient_penalty
from mg.training import checkpoint
from mg.training.build import Parts
from mg.training.checkpoint import Progress
from mg.training.config import AdversarialConfig
from mg.training.discriminate import R1Gradients
from mg.training.learn import Learner

SHAPE = (2, 3, 3, 6, 5)


def learn(adversary, number, pairs):
    """A step of the discriminator alone, which knows no terms of an objective where its weight is constant."""
    return adversary.learn(number, pairs, Tensor(np.zeros(1, np.float32)), Tensor(RATES.discriminator, ms.float32))


def test_the_weight_is_adaptive_or_constant_from_its_start_on():
    for mode, expected in (("adaptive", [0.0, 0.0, None]), ("constant", [0.0, 0.5, 0.5])):
        learner, ratio = Learner(parts_of(disc_weight_mode=mode, disc_start=1)), 0.0
        for number, weight in enumerate(expected):
            figures, next_ratio = learner.step(number, [batch_of(2)], RATES, ratio)
            weight = 0.5 * ratio if weight is None else weight
            assert figures.get("adversarial_weight", 0.0) == pytest.approx(weight), (mode, number)
            expected_total = figures["reconstruction"] + weight * figures["adversarial"]
            assert figures["total"] == pytest.approx(expected_total, rel=1e-6)
            ratio = next_ratio
        assert ratio == 1 if mode == "constant" else ratio > 0


def test_r1_of_a_linear_discriminator_is_known():
    """Logits w.x of every pixel, whose mean over a clip of n pixels has the gradient w / n: R1 is |w|^2 / n."""

    class Linear(nn.Cell):
        def construct(self, clip):
            return (clip * Tensor(np.array([1.0, -2.0, 3.0], np.float32).reshape(1, 3, 1, 1, 1))).sum(1)

    def mean_logits(clip):
        return by_clip(Linear()(clip))

    gradient = ms.grad(mean_logits)(random_clip(*SHAPE))
    assert float(gradient_penalty(gradient)) == pytest.approx(14 / 90, rel=1e-5)


def test_gradients_of_r1_against_finite_differences():
    np.random.seed(0)
    discriminator, clip = Discriminator(), random_clip(*SHAPE)
    trained = ParameterTuple(discriminator.trainable_params())
    graph = R1Gradients(discriminator, trained, 10.0, ms.float32)
    value, gradients = graph(clip)
    start = [p.asnumpy().copy() for p in trained]
    rng = np.random.default_rng(1)
    for number, parameter in enumerate(trained):
        direction, ends = rng.standard_normal(parameter.shape).astype(np.float32), []
        for sign in (1, -1):
            parameter.set_data(Tensor(start[number] + sign * 1e-2 * direction))
            ends.append(10 * float(graph(clip)[0]))
        parameter.set_data(Tensor(start[number]))
        slope = float((gradients[number].asnumpy() * direction).sum())
        assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(slope, rel=2e-2, abs=1e-3 * float(value)), parameter.name


def test_r1_comes_every_so_many_steps_and_is_in_the_gradients():
    settings = {"disc_loss": "non_saturating", "disc_weight_mode": "constant", "disc_weight": 1e-3}
    judge, without = (parts_of(**r1, **settings).adversary for r1 in ({"r1_weight": 2.0, "r1_interval": 3}, {}))
    losses, pair = [], (batch_of(2).clip, batch_of(2, seed=5).clip)
    for number in range(30):
        figures, _ = learn(judge, number, [pair])
        assert ("r1" in figures) == (number % 3 == 0)
        losses.append(figures["discriminator"])
        if number == 0:
            learn(without, number, [pair])
            assert figures["r1"] > 0
            pairs = zip(judge.trained, without.trained)
            assert all((a.asnumpy() != b.asnumpy()).any() for a, b in list(pairs)[:3])
    assert losses[-1] < losses[0]


def test_r1_of_micro_batches_is_that_of_one_batch():
    settings = {"r1_weight": 2.0, "r1_interval": 1, "disc_weight_mode": "constant"}
    whole, parts = (parts_of(0, count, **settings).adversary for count in (1, 4))
    real, fake = batch_of(4).clip, batch_of(4, seed=5).clip
    one, _ = learn(whole, 0, [(real, fake)])
    four, _ = learn(parts, 0, [(real[i : i + 1], fake[i : i + 1]) for i in range(4)])
    assert one["r1"] > 0 and four == pytest.approx(one, rel=2e-5)
    for a, b in zip(whole.parameters(), parts.parameters()):
        np.testing.assert_allclose(b.asnumpy(), a.asnumpy(), rtol=1e-5, atol=1e-6, err_msg=a.name)


def test_a_discriminator_of_one_size_is_refused_for_clips_of_several_before_the_first_step(tmp_path, uncompiled):
    judged = {"disc_weight": 0.5, "disc_kind": "stylegan2d", "disc_channels": 8}
    with pytest.raises(InputError, match=r"any number of frames of 48x32, but a clip has 4 of 32x32"):
        Parts(recipe(tmp_path, size_buckets=[[32, 32], [32, 48]], **judged))


def test_r1_is_refused_where_it_would_do_nothing(tmp_path, uncompiled):
    with pytest.raises(InputError, match=r"r1_weight=1\.0 does nothing in mode pynative"):
        Parts(recipe(tmp_path, disc_weight=0.5, r1_weight=1.0))


def test_lecam_decays_as_told_once_a_step_and_goes_on_after_a_checkpoint(tmp_path, uncompiled):
    settings = {"lecam_weight": 0.3, "lecam_decay": 0.75, "disc_weight_mode": "constant"}
    parts, again = parts_of(**settings), parts_of(**settings)
    tensors, other = ({p.name: p for p in (one.forward.gain, *one.adversary.parameters())} for one in (parts, again))
    assert {"lecam.real", "lecam.fake"} < set(tensors)
    learner, adversary, batch = Learner(parts), parts.adversary, batch_of(2)
    logits = adversary.discriminator(batch.clip).asnumpy().mean()
    learner.step(0, [batch], RATES)
    assert float(adversary.running.real.asnumpy()) == pytest.approx(0.25 * logits, rel=1e-4)
    logits = adversary.discriminator(batch.clip).asnumpy().mean()
    before = float(adversary.running.real.asnumpy())
    _, ratio = learner.step(1, [batch], RATES)
    assert float(adversary.running.real.asnumpy()) == pytest.approx(0.75 * before + 0.25 * logits, rel=1e-4)
    path = checkpoint.save(tmp_path, tensors, Progress(), {"lecam_decay": 0.75}, 1)
    checkpoint.load(path, other, {"lecam_decay": 0.75}, {})
    expected, found = (one.step(2, [batch], RATES, ratio) for one in (learner, Learner(again)))
    assert found == expected
    for name, parameter in tensors.items():
        np.testing.assert_array_equal(other[name].asnumpy(), parameter.asnumpy(), err_msg=name)


@pytest.mark.parametrize(
    "field, value",
    [
        ("disc_kind", "video"),
        ("disc_loss", "wasserstein"),
        ("disc_weight_mode", "fixed"),
        ("disc_start", -1),
        ("disc_channels", 12),
        ("disc_channels", 0),
        ("r1_interval", 0),
        ("lecam_weight", -0.1),
    ],
)
def test_wrong_settings_are_named(field, value):
    with pytest.raises(InputError, match=f"{field}={value!r}"):
        AdversarialConfig(**{field: value})


def test_averages_that_would_never_move_are_refused():
    for field, value in (("lecam_decay", 1.0), ("disc_betas", (0.9, 1.0))):
        with pytest.raises(InputError, match=f"{field}: .*never move"):
            AdversarialConfig(**{field: value})
