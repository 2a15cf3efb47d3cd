"""A step of a toy: several noises or none, weights that move, micro batches, a family's own terms."""

import numpy as np
import pytest
from mindspore import Tensor
from toy import RATES, Forward, batch_of, parts_of, singles

from mg.data.plan import NOISE, Share
from mg.training.learn import Batch, Draw, Learner


def gain(parts):
    return float(parts.forward.gain.asnumpy()[0])


@pytest.mark.parametrize("noises", [0, 2])
def test_a_step_with_two_noises_or_none(noises):
    parts = parts_of(noises, weights={"reconstruction_weight": 0.0, "squared_error_weight": 1.0})
    batch, learner = batch_of(2, noises), Learner(parts)
    clip = batch.clip.asnumpy()
    recon = 0.5 * clip + sum(noise.asnumpy() / 10**k for k, noise in enumerate(batch.noises))
    figures, ratio = learner.step(0, [batch], RATES)
    assert ratio == 0 and figures["kept"] == 1
    assert list(figures) == ["total", "squared_error", "grad_norm", "kept"]
    assert figures["total"] == pytest.approx(((recon - clip) ** 2).sum() / 6, rel=1e-5)
    slope = (2 * (recon - clip) * clip).sum() / 6
    assert figures["grad_norm"] == pytest.approx(abs(slope), rel=1e-5)
    assert gain(parts) == pytest.approx(0.5 - RATES.model * slope, rel=1e-5)
    learner.step(1, [batch_of(2, noises, seed=9)], RATES)
    assert learner.graphs == 1


def test_noises_depend_on_seed_step_and_place_alone():
    shape, clips = (2, 3, 1, 2, 2), [np.zeros((2, 3, 1, 2, 2), np.float32)] * 2
    drawn = Draw(Forward(2), 7, Share(2, 2, rank=1, ranks=2)).batches(5, clips)
    for micro, places in enumerate(([2, 3], [6, 7])):
        for place, first, second in zip(places, *drawn[micro].noises):
            for noise, seed in ((first, [7, NOISE, 5, place]), (second, [7, NOISE, 5, place, 1])):
                expected = np.random.default_rng(seed).standard_normal(shape[1:], np.float32)
                np.testing.assert_array_equal(noise.asnumpy(), expected)
    assert Draw(Forward(0), 7, Share(2)).batches(5, clips[:1])[0].noises == ()


def test_a_weight_moves_with_the_step_and_compiles_nothing():
    parts = parts_of(1, weights={"distance_weight": [0.3, 0.1, 2]})
    learner, batch = Learner(parts), batch_of(1, 1)
    for number, weight in enumerate((0.3, 0.2, 0.1, 0.1)):
        figures, _ = learner.step(number, [batch], RATES)
        assert figures["total"] == pytest.approx(figures["reconstruction"] + weight * figures["distance"], rel=1e-6)
    assert learner.graphs == 1


def test_micro_batches_are_one_batch_for_model_and_discriminator(uncompiled):
    settings = {"disc_start": 1, "lecam_weight": 0.5, "lecam_decay": 0.75}
    whole, parts = parts_of(1, **settings), parts_of(1, 4, **settings)
    learners, batch = (Learner(whole), Learner(parts, 4)), batch_of(4, 1)
    ratios = [0.0, 0.0]
    for number in range(3):  # of which the first is without the discriminator
        results = [
            learner.step(number, batches, RATES, ratio)
            for learner, batches, ratio in zip(learners, ([batch], singles(batch)), ratios)
        ]
        (one, _), (four, _) = results
        ratios = [ratio for _, ratio in results]
        assert list(one) == list(four)
        assert ("discriminator" in one) == (number > 0)
        for name in one:
            assert four[name] == pytest.approx(one[name], rel=2e-5), (number, name)
        assert ratios[1] == pytest.approx(ratios[0], rel=2e-5)
    assert ratios[0] > 0 and gain(parts) == pytest.approx(gain(whole), rel=1e-5)
    for a, b in zip(whole.adversary.parameters(), parts.adversary.parameters()):
        np.testing.assert_allclose(b.asnumpy(), a.asnumpy(), rtol=1e-5, atol=1e-6, err_msg=a.name)


def test_a_step_that_is_not_finite_changes_nothing_but_the_next_one_does():
    parts = parts_of(0, micro_batches=2, disc_weight_mode="constant")
    learner, batch = Learner(parts, 2), batch_of(2)
    all_parameters = [parts.forward.gain, *parts.update.ema.averages, *parts.adversary.parameters()]
    learner.step(0, singles(batch), RATES)
    before = [p.asnumpy().copy() for p in all_parameters]
    broken = batch.clip.asnumpy().copy()
    broken[1, 0, 0, 0, 0] = np.inf
    figures, _ = learner.step(1, singles(Batch(Tensor(broken), ())), RATES)
    assert figures["kept"] == 0
    for p, value in zip(all_parameters, before):
        np.testing.assert_array_equal(p.asnumpy(), value, err_msg=p.name)
    assert learner.step(2, singles(batch), RATES)[0]["kept"] == 1
    assert all((p.asnumpy() != value).any() for p, value in zip(all_parameters[:4], before))
