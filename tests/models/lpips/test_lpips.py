"""LPIPS against the lpips package's own answers, frozen, strict, and differentiable."""

import logging

import mindspore as ms
import numpy as np
import pytest
from conftest import random_clip
from mindspore import Tensor, nn

from mg.errors import InputError
from mg.losses.perceptual import perceptual
from mg.models import weights
from mg.models.lpips.network import LPIPS, Distance, Head, write

pytestmark = pytest.mark.usefixtures("uncompiled")


def golden_network(shared):
    """The seeded backbone of the golden folder's README under the published heads."""
    network, rs = Distance("vgg"), np.random.RandomState(7)
    parameters = weights.named_parameters(network)
    for name, p in parameters.items():
        if name.startswith("vgg.") and name.endswith(".weight"):
            drawn = rs.standard_normal(p.shape) * np.sqrt(2 / (9 * p.shape[1]))
            p.set_data(Tensor(drawn.astype(np.float32)))
            bias = parameters[name.replace(".weight", ".bias")]
            bias.set_data(Tensor((rs.standard_normal(bias.shape) * 0.05).astype(np.float32)))
    heads = np.load(shared / "data/lpips/vgg.npz")
    for number, head in enumerate(network.heads):
        head.weight.set_data(Tensor(heads[f"lin{number}"]))
    return network


@pytest.fixture
def golden(shared, tmp_path):
    write(tmp_path / "lpips.safetensors", golden_network(shared), biases=True)
    return LPIPS(tmp_path / "lpips.safetensors")


def test_published_distances_frozen_in_both_modes(golden, shared):
    io = np.load(shared / "golden/lpips/io.npz")
    images = {name: Tensor(io[name]) for name in ("reference", "noisy", "shifted")}
    found = {}
    for mode in (False, True):
        golden.set_train(mode)
        for name in ("noisy", "shifted"):
            found[name, mode] = golden(images["reference"], images[name]).asnumpy()
            np.testing.assert_allclose(found[name, mode], io[f"lpips_{name}"], rtol=1e-4)
    for name in ("noisy", "shifted"):
        np.testing.assert_array_equal(found[name, False], found[name, True])
    assert golden.trainable_params() == []
    assert len(list(golden.get_parameters())) == 2 * 13 + 5
    np.testing.assert_array_equal(golden(images["noisy"], images["noisy"]).asnumpy(), 0)
    half = golden(images["reference"].astype(ms.float16), images["noisy"].astype(ms.float16))
    assert half.dtype == ms.float32
    np.testing.assert_allclose(half.asnumpy(), io["lpips_noisy"], rtol=2e-2)


def test_perceptual_term_its_scale_and_its_gradient(golden):
    clip, recon = random_clip(1, 3, 2, 17, 20), random_clip(1, 3, 2, 17, 20, seed=1)
    term = Perceptual(golden)
    frames = [golden(clip[:, :, t], recon[:, :, t]).asnumpy() for t in range(2)]
    assert float(term(recon, clip)) == pytest.approx(3 * 17 * 20 * np.mean(frames), rel=1e-5)

    gradient = ms.grad(term)(recon, clip).asnumpy()
    direction = np.sign(gradient) * np.random.default_rng(0).uniform(0.5, 1, gradient.shape)
    step = 2e-3
    ends = [float(term(Tensor((recon.asnumpy() + s * step * direction).astype(np.float32)), clip)) for s in (1, -1)]
    assert np.sum(gradient * direction) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-2)


class Perceptual(nn.Cell):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def construct(self, recon, clip):
        return perceptual(self.network, clip, recon)


def test_a_pixel_without_features_counts_nothing_and_has_a_finite_gradient():
    head = Head(3)
    x, y = np.zeros((1, 3, 1, 2), np.float32), np.zeros((1, 3, 1, 2), np.float32)
    x[0, :, 0, 1], y[0, :, 0, 1] = (3, 0, 4), (0, 1, 0)
    assert float(head(Tensor(x), Tensor(y))) == pytest.approx((0.36 + 0.64 + 1) / 2)
    assert np.isfinite(ms.grad(head, (0, 1))(Tensor(x), Tensor(y))[0].asnumpy()).all()


def test_a_missing_file_says_how_to_make_it_and_how_to_do_without(tmp_path):
    for path in (None, tmp_path / "absent.safetensors"):
        with pytest.raises(InputError, match=r"tools/convert_lpips\.py.*perceptual_weight: 0"):
            LPIPS(path)


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    weights.write(path, {"a": ms.Parameter(Tensor(np.zeros(2, np.float32)))}, {"family": "tae"})
    with pytest.raises(InputError, match="does not hold LPIPS weights"):
        LPIPS(path)
    weights.write(path, {"a": ms.Parameter(Tensor(np.zeros(2, np.float32)))}, {"family": "lpips_vgg"})
    with pytest.raises(InputError, match=r"31 missing \(vgg\.features\.0\.weight.*1 unexpected \(a\)"):
        LPIPS(path)


def test_weights_without_biases_say_so_each_time(tmp_path, caplog):
    write(tmp_path / "x.safetensors", Distance("vgg"), biases=False, dtype="fp16")
    with caplog.at_level(logging.WARNING):
        assert not LPIPS(tmp_path / "x.safetensors").biases
    assert "not LPIPS" in caplog.text
