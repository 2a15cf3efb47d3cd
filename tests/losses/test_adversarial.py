"""Hinge, adaptive weight, switch and LeCAM by hand; shapes and gradients of the discriminators."""

import mindspore as ms
import numpy as np
import pytest
from conftest import random_clip
from mindspore import Tensor, nn, ops

from mg.errors import InputError
from mg.losses import adversarial
from mg.models.discriminators import DISCRIMINATORS


def tensor(*values):
    return Tensor(np.array(values if len(values) > 1 else values[0], np.float32))


def test_hinge_by_hand():
    real, fake = tensor(2.0, 0.5, -1.0), tensor(-3.0, 0.0, 1.0, 2.0)
    expected = 0.5 * ((0 + 0.5 + 2) / 3 + (0 + 1 + 2 + 3) / 4)
    assert float(adversarial.discriminator_hinge(real, fake)) == pytest.approx(expected)
    assert float(adversarial.generator_hinge(fake)) == 0.0
    assert float(adversarial.generator_hinge(real)) == -0.5


def test_non_saturating_by_hand():
    real, fake = tensor(2.0, -1.0), tensor(-3.0, 0.0, 50.0)
    of_real, of_fake = np.log1p(np.exp([-2.0, 1.0])), np.log1p(np.exp([-3.0, 0.0, 50.0]))
    expected = of_real.mean() + of_fake.mean()
    assert float(adversarial.discriminator_non_saturating(real, fake)) == pytest.approx(expected, rel=1e-6)
    assert float(adversarial.generator_non_saturating(fake)) == pytest.approx(
        np.log1p(np.exp([3.0, 0.0, -50.0])).mean(), rel=1e-6
    )


def test_softplus_has_its_gradient_everywhere():
    x = np.array([-200.0, -20.0, -1.0, 0.0, 1.0, 19.9, 20.1, 200.0])
    gradient = ms.grad(adversarial.softplus)(Tensor(x.astype(np.float32))).asnumpy()
    np.testing.assert_allclose(gradient, 1 / (1 + np.exp(-x)), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(adversarial.softplus(tensor(*x)).asnumpy(), np.logaddexp(0, x), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "reconstruction, adversarial_norm, expected", [(3.0, 2.0, 1.5), (0.0, 2.0, 0.0), (5.0, 0.0, 10.0), (0.0, 0.0, 0.0)]
)
def test_adaptive_weight_and_its_limits(reconstruction, adversarial_norm, expected):
    weight = adversarial.adaptive_weight(tensor(reconstruction), tensor(adversarial_norm), limit=10.0)
    assert float(weight) == pytest.approx(expected, rel=1e-4)


def test_no_gradient_flows_through_the_adaptive_weight():
    def weighted(norm):
        return norm * adversarial.adaptive_weight(norm, tensor(2.0), limit=10.0)

    assert float(ms.grad(weighted)(tensor(3.0))) == pytest.approx(1.5, rel=1e-4)


def test_lecam_by_hand():
    real, fake = tensor(1.0, 3.0), tensor(-1.0, 0.0)
    value = adversarial.lecam(real, fake, tensor(0.5), tensor(-0.5))
    assert float(value) == pytest.approx((1.5**2 + 3.5**2) / 2 + (1.5**2 + 0.5**2) / 2)


def test_running_mean_by_hand_and_over_time():
    running = tensor(1.0)
    assert float(adversarial.update_running_mean(running, tensor(3.0, 5.0), decay=0.9)) == pytest.approx(1.3)
    for _ in range(60):
        running = adversarial.update_running_mean(running, tensor(3.0, 5.0), decay=0.9)
    assert float(running) == pytest.approx(4.0, abs=0.01)


@pytest.fixture(scope="module", params=["frame", "clip"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def discriminator(kind):
    np.random.seed(0)
    return DISCRIMINATORS[kind](8, (3, 4, 16, 16)).set_train()


@pytest.mark.parametrize("shape", [(2, 3, 1, 16, 16), (1, 3, 9, 40, 24), (1, 3, 2, 8, 9)])
def test_shape_of_the_logits(discriminator, kind, shape):
    batch, _, frames, height, width = shape
    logits = discriminator(random_clip(*shape))
    times = -(-frames // 8) if kind == "clip" else frames
    assert logits.shape == (batch, 1, times, height // 8, width // 8)


def test_frames_are_judged_alone_and_clips_together(discriminator, kind):
    clip = random_clip(1, 3, 4, 16, 16)
    other = clip.asnumpy().copy()
    other[:, :, 2] *= -1
    changed = (discriminator(clip) != discriminator(Tensor(other))).asnumpy().any((0, 1, 3, 4))
    assert changed.tolist() == ([True] if kind == "clip" else [False, False, True, False])


def test_clips_of_a_batch_do_not_influence_each_other(discriminator):
    clips = random_clip(2, 3, 3, 16, 16)
    together, alone = discriminator(clips).asnumpy()[1], discriminator(clips[1:]).asnumpy()[0]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_gradient_reaches_every_parameter_and_the_clip(discriminator):
    weights = ms.ParameterTuple(discriminator.trainable_params())

    def loss(real, fake):
        return adversarial.discriminator_hinge(discriminator(real), discriminator(fake))

    real, fake = random_clip(1, 3, 9, 16, 16), random_clip(1, 3, 9, 16, 16, seed=1)
    of_clip, of_weights = ms.value_and_grad(loss, 1, weights)(real, fake)[1]
    largest = max(float(g.abs().max()) for g in of_weights)
    for parameter, gradient in zip(weights, of_weights):
        if parameter.name == "head.bias":  # both halves of the loss pull it as strongly, while no margin is reached
            continue
        assert float(gradient.abs().max()) > 1e-6 * largest, parameter.name
    assert (of_clip != 0).asnumpy().any((0, 1, 3, 4)).all()


def test_some_steps_of_training_tell_two_kinds_of_clips_apart(kind):
    np.random.seed(0)
    network = DISCRIMINATORS[kind](8, (3, 4, 16, 16)).set_train()
    optimizer = nn.Adam(network.trainable_params(), 2e-3)
    real = random_clip(1, 3, 2, 16, 16)
    fake = Tensor(random_clip(1, 3, 2, 4, 4).asnumpy().repeat(4, 3).repeat(4, 4))

    def loss(real, fake):
        return adversarial.discriminator_hinge(network(real), network(fake))

    step = Train(loss, optimizer)
    losses = [float(step(real, fake)) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(("kind", "shape"), [("stylegan2d", (3, 4, 16, 32)), ("stylegan3d", (3, 16, 32, 32))])
def test_what_is_halved_five_times_must_be_long_enough(kind, shape):
    with pytest.raises(InputError, match="more than 16"):
        DISCRIMINATORS[kind](8, shape)


class Train(nn.Cell):
    def __init__(self, loss, optimizer):
        super().__init__()
        self.gradient = ms.value_and_grad(loss, None, optimizer.parameters)
        self.optimizer = optimizer

    def construct(self, real, fake):
        value, gradients = self.gradient(real, fake)
        return ops.depend(value, self.optimizer(gradients))
