"""StyleGAN's discriminators, R1 and LeCAM against arrays that another program computed."""

from __future__ import annotations

import re

import mindspore as ms
import numpy as np
import pytest
from conftest import graphs
from mindspore import ParameterTuple, Tensor

from mg.io.pixels import to_clip
from mg.losses import adversarial
from mg.models import weights
from mg.models.discriminators import DISCRIMINATORS
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.resample import blur_and_halve
from mg.training.config import AdversarialConfig
from mg.training.discriminate import DiscriminatorLoss, R1Gradients

pytestmark = pytest.mark.usefixtures("uncompiled")
NAMES = (
    (r"^res_blocks\.", "blocks."),
    (r"\.conv2\.", ".shortcut."),
    (r"\.conv3\.", ".conv2."),
    (r"^linear0\.", "hidden."),
    (r"^linear1\.", "head."),
)
CONFIG = AdversarialConfig(
    disc_loss="non_saturating", lecam_weight=0.001, lecam_decay=0.999, lecam_of="means", r1_weight=10.0
)
EPS = 1e-6  # what the other program adds to R1's sum of squares


@pytest.fixture
def folder(shared):
    return shared / "golden/o2_magvit2_mini"


def ours(name):
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def fitted(array, shape):
    """Linear layers and kernels of one frame are 1x1 kernels here."""
    return array.reshape(shape)


def discriminator(folder, kind):
    """The discriminator with the other program's weights, and whether it is of clips."""
    of_clips = kind == "3d"
    cell = DISCRIMINATORS[f"stylegan{kind}"](8, (3, 17 if of_clips else 1, 64, 64)).set_train()
    stored = weights.TensorFile(folder / f"discriminator_{kind}.safetensors")
    parameters = weights.named_parameters(cell)
    tensors = {ours(name): stored[name] for name in stored if not name.endswith(".filt")}
    tensors = {name: fitted(value, parameters[name].shape) for name, value in tensors.items()}
    weights.assign(cell, list(parameters), tensors, "discriminator")
    return cell, parameters


def clips(golden, name):
    """uint8 (B, 3, [T,] H, W) -> (B, 3, T, H, W) in [-1, 1]."""
    levels = golden[name] if golden[name].ndim == 5 else golden[name][:, :, None]
    return Tensor(np.stack([to_clip(np.ascontiguousarray(one.transpose(1, 2, 3, 0))) for one in levels]))


def close(got, expected, tolerance=1e-4):
    assert np.abs(np.asarray(got) - expected).max() <= tolerance * max(1e-3, np.abs(expected).max())


@pytest.mark.parametrize("kind", ["2d", pytest.param("3d", marks=pytest.mark.slow)])
def test_logits_r1_and_a_step(folder, kind):
    golden, short = np.load(folder / "disc.npz"), f"d{kind[0]}"
    cell, parameters = discriminator(folder, kind)
    real, fake = (clips(golden, f"{short}_{which}") for which in ("real", "fake"))
    for which, clip in (("real", real), ("fake", fake)):
        close(cell(clip).asnumpy(), golden[f"{short}.logits_{which}"])
    names = {key.split("_grad.")[1] for key in golden.files if key.startswith(f"{short}.r1_grad.")}
    chosen = [parameters[ours(name)] for name in sorted(names)]
    with graphs():
        r1, of_r1 = R1Gradients(cell, ParameterTuple(chosen), CONFIG.r1_weight, ms.float32)(real)
    close(CONFIG.r1_weight * (r1.asnumpy() + EPS), golden[f"{short}.r1"][0])
    loss = DiscriminatorLoss(cell, CONFIG, ms.float32, 1)
    running = Tensor(1.2, ms.float32), Tensor(-0.9, ms.float32)
    both = ms.value_and_grad(lambda *x: loss(*x)[0], None, ParameterTuple(chosen))
    total, of_step = both(real, fake, *running)
    close(total.asnumpy(), golden[f"{short}.total"][0])
    close(float(total) + float(CONFIG.r1_weight * (r1 + EPS)), golden[f"{short}.total_gp"][0])
    for name, first, second in zip(sorted(names), of_r1, of_step):
        expected = golden[f"{short}.r1_grad.{name}"]
        close(first.asnumpy().reshape(expected.shape), expected, 2e-4)
        expected = golden[f"{short}.total_gp_grad.{name}"]
        close((first + second).asnumpy().reshape(expected.shape), expected, 2e-4)


def test_losses_of_logits(folder):
    golden = np.load(folder / "gan.npz")
    real, fake = Tensor(golden["logits_real"]), Tensor(golden["logits_fake"])
    for name, function, given in (
        ("d_loss_nonsaturating", adversarial.discriminator_non_saturating, (real, fake)),
        ("g_loss_nonsaturating", adversarial.generator_non_saturating, (fake,)),
        ("g_loss_hinge", adversarial.generator_hinge, (fake,)),
    ):
        close(function(*given).asnumpy(), golden[name][0], 1e-6)
    running = [Tensor(value) for value in golden["lecam_ema_real_fake"]]
    close(adversarial.lecam_of_means(real.mean(), fake.mean(), *running).asnumpy(), golden["lecam"][0], 1e-6)


def test_running_means_of_four_steps(folder):
    golden = np.load(folder / "gan.npz")
    running = [Tensor(0.0, ms.float32), Tensor(0.0, ms.float32)]
    steps = zip(golden["ema_logits_real"], golden["ema_logits_fake"], golden["ema_after_update"], golden["ema_lecam"])
    for real, fake, after, expected in steps:
        logits = Tensor(real), Tensor(fake)
        running = [adversarial.update_running_mean(r, x, CONFIG.lecam_decay) for r, x in zip(running, logits)]
        np.testing.assert_allclose([float(value) for value in running], after, rtol=1e-5)
        value = adversarial.lecam_of_means(*(x.mean() for x in logits), *running)
        assert float(value) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["blurpool3d_odd", "blurpool3d_small", "blurpool2d"])
def test_the_blur(folder, name):
    golden = np.load(folder / "blocks.npz")
    x = golden[f"{name}.x"]
    flat = x.ndim == 4
    blurred = frames_first(Tensor(x[:, :, None] if flat else x))
    for axis in (3, 4) if flat else (1, 3, 4):
        blurred = blur_and_halve(blurred, axis)
    result = channels_first(blurred).asnumpy()
    np.testing.assert_allclose(result[:, :, 0] if flat else result, golden[f"{name}.y"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind, millions", [("2d", 32.73), ("3d", 73.92)])
def test_names_and_counts_of_the_published_sizes(folder, kind, millions):
    cell = DISCRIMINATORS[f"stylegan{kind}"](128, (3, 17 if kind == "3d" else 1, 256, 256))
    listed = dict(
        line.split("\t") for line in (folder / f"names_full_discriminator_{kind}.txt").read_text().splitlines()
    )
    sizes = {
        ours(name): np.prod([int(n) for n in re.findall(r"\d+", shape)])
        for name, shape in listed.items()
        if not name.endswith(".filt")
    }
    assert {name: parameter.size for name, parameter in weights.named_parameters(cell).items()} == sizes
    assert round(sum(sizes.values()) / 1e6, 2) == millions
