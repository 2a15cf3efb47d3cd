"""LPIPS as a metric: the published distances, its batches, its direction, and AlexNet."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import ROOT, check_one_line_error, random_clip, run
from degrade import blurred, check_rises, drawn_clip, flickering, levels, noisy, real_clip, score, with_dropped_frames
from mindspore import Tensor
from random_lpips import write_random

from mg.errors import InputError
from mg.files import sha256
from mg.metrics.lpips import LPIPS, Batches, frames_at_once, to_image
from mg.models import weights
from mg.models.lpips import network as lpips
from mg.models.lpips.convert import convert

sys.path.append(str(ROOT / "tests/models"))
from torch_writer import laid, write_archive

ALEX = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}  # torchvision's
BACKBONES = ("vgg", "alex")


@pytest.fixture(scope="module", params=BACKBONES)
def metric(request, tmp_path_factory):
    return LPIPS(write_random(tmp_path_factory.mktemp(request.param) / "x.safetensors", request.param))


def test_published_distances(shared, tmp_path):
    metric = LPIPS(write_random(tmp_path / "x.safetensors", heads=shared / "data/lpips/vgg.npz"))
    io = np.load(shared / "golden/lpips/io.npz")
    clips = {name: levels((io[name].transpose(0, 2, 3, 1) + 1) * 255 / 2) for name in ("reference", "noisy", "shifted")}
    found = score(metric, clips["reference"], clips["shifted"])
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, io["lpips_shifted"], rtol=1e-4)
    rounded = score(metric, clips["reference"], clips["noisy"])  # the golden noise is not rounded to levels
    np.testing.assert_allclose(rounded, io["lpips_noisy"], rtol=1e-2)
    np.testing.assert_array_equal(score(metric, clips["noisy"], clips["noisy"]), 0)


def test_clips_longer_than_a_batch_and_two_at_once(metric):
    clip = drawn_clip(6)
    recon = noisy(clip, 20)
    first, second = metric.scorer(), metric.scorer()
    for original, other in zip(clip, recon):
        first.add(original, other)
        second.add(other, other)
    pairs = [[Tensor(to_image(frame)[None]) for frame in pair] for pair in zip(clip, recon)]
    alone = [float(metric.network(*pair).asnumpy()[0]) for pair in pairs]
    np.testing.assert_allclose(first.finish(), alone, rtol=1e-5)
    np.testing.assert_array_equal(second.finish(), np.zeros(6))


def test_the_network_sees_one_shape_and_the_last_batch_is_filled_up():
    seen = []

    def network(x):
        seen.append(x.asnumpy())
        return Tensor(x.asnumpy().sum(1))

    batches = Batches(network, 4)
    for number in range(6):
        batches.add(np.full(2, number, np.float32))
    np.testing.assert_array_equal(batches.finish(), np.arange(6) * 2)
    assert [x[:, 0].tolist() for x in seen] == [[0, 1, 2, 3], [4, 5, 5, 5]]


@pytest.mark.parametrize("size, count", [((64, 64), 4), ((256, 256), 4), ((256, 512), 2), ((1080, 1920), 1)])
def test_large_frames_come_in_small_batches(size, count):
    assert frames_at_once(np.zeros((*size, 3), np.uint8), 4) == count


@pytest.mark.parametrize("degrade, degrees", [(noisy, (0, 4, 16, 48)), (blurred, (0.3, 0.6, 1.2, 2.4))])
def test_it_rises_as_frames_get_worse(shared, metric, degrade, degrees):
    check_rises(metric, real_clip(shared), degrade, degrees)


@pytest.mark.parametrize("degrade, degrees", [(with_dropped_frames, (0, 1, 3)), (flickering, (0, 8, 32))])
def test_it_rises_with_what_is_wrong_in_time(shared, metric, degrade, degrees):
    check_rises(metric, real_clip(shared, 8), degrade, degrees)


def test_what_a_report_says(metric):
    assert metric.network.backbone in metric.about["definition"]
    assert metric.about["weights"] == "x.safetensors" and len(metric.about["weights_sha256"]) == 64


def test_weights_without_biases_are_not_called_lpips(tmp_path):
    path = write_random(tmp_path / "x.safetensors", biases=False)
    about = LPIPS(path).about
    assert "perceptual, but not LPIPS" in about["definition"] and about["weights_sha256"] == sha256(path)


def test_frames_that_are_too_small_and_files_that_are_missing(metric, tmp_path):
    least = {"vgg": 16, "alex": 31}[metric.network.backbone]
    small = np.zeros((1, least - 1, 40, 3), np.uint8)
    with pytest.raises(InputError, match=f"40x{least - 1}.*needs {least} pixels"):
        score(metric, small, small)
    smallest = np.zeros((1, least, least, 3), np.uint8)
    assert score(metric, smallest, smallest) == 0
    for path in (None, tmp_path / "absent.safetensors"):
        with pytest.raises(InputError, match=r"tools/convert_lpips\.py.*no lpips"):
            LPIPS(path)


def convolve(x, weight, bias, stride, padding):
    """2D convolution of (C, H, W), by NumPy."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, weight, optimize=True) + bias[:, None, None]


def pool(x):
    """The largest of 3x3, two apart."""
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((-2, -1))


def test_alexnet_against_numpy(tmp_path):
    network = lpips.LPIPS(write_random(tmp_path / "x.safetensors", "alex"))
    values = {name: p.asnumpy().astype(np.float64) for name, p in weights.named_parameters(network).items()}
    image = random_clip(1, 3, 70, 83)
    x = (image.asnumpy()[0] - np.reshape([-0.030, -0.088, -0.188], (3, 1, 1))) / np.reshape(
        [0.458, 0.448, 0.450], (3, 1, 1)
    )
    found = network.features(image)
    assert [tuple(feature.shape[2:]) for feature in found] == network.alex.sizes(70, 83)
    for feature, (number, stride, padding) in zip(found, ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))):
        name = f"alex.features.{number}"
        x = np.maximum(convolve(x, values[f"{name}.weight"], values[f"{name}.bias"], stride, padding), 0)
        np.testing.assert_allclose(feature.asnumpy()[0], x, atol=1e-4)
        x = pool(x) if number in (0, 3) else x


@pytest.fixture
def alexnet(tmp_path):
    """A file of AlexNet by torchvision's names, and one of heads."""
    rng, tensors = np.random.default_rng(0), {"classifier.1.weight": np.zeros((2, 2), np.float32)}
    for number, (out, into, kernel) in ALEX.items():
        tensors[f"features.{number}.weight"] = rng.standard_normal((out, into, kernel, kernel), dtype=np.float32)
        tensors[f"features.{number}.bias"] = rng.standard_normal(out, dtype=np.float32)
    heads = {f"lin{k}.model.1.weight": rng.uniform(size=(1, ALEX[n][0], 1, 1)).astype("f4") for k, n in enumerate(ALEX)}
    write_archive(tmp_path / "alexnet.pth", {name: laid(value) for name, value in tensors.items()})
    write_archive(tmp_path / "alex.pth", {name: laid(value) for name, value in heads.items()})
    return tensors, heads


def test_alexnet_is_converted(tmp_path, alexnet):
    flags = ("--alex", "alexnet.pth", "--heads", "alex.pth", "--target", "out.safetensors")
    assert "AlexNet with biases" in run("tools/convert_lpips.py", *flags, cwd=tmp_path).stdout
    network = lpips.LPIPS(tmp_path / "out.safetensors")
    values = {name: p.asnumpy() for name, p in weights.named_parameters(network).items()}
    assert network.backbone == "alex" and network.biases and len(values) == 15
    tensors, heads = alexnet
    for number in ALEX:
        for part in ("weight", "bias"):
            np.testing.assert_array_equal(
                values[f"alex.features.{number}.{part}"], tensors[f"features.{number}.{part}"]
            )
    for number, head in enumerate(heads.values()):
        np.testing.assert_array_equal(values[f"heads.{number}.weight"], head.reshape(-1))


def test_a_backbone_is_not_taken_for_the_other(tmp_path, alexnet):
    with pytest.raises(InputError, match="does not fit"):
        convert(tmp_path / "alexnet.pth", tmp_path / "alex.pth", "vgg")
    tensors, _ = alexnet
    np.savez(tmp_path / "bare.npz", **{name: value for name, value in tensors.items() if not name.endswith("bias")})
    with pytest.raises(InputError, match=r"5 missing \(alex\.features\.0\.bias"):
        convert(tmp_path / "bare.npz", tmp_path / "alex.pth", "alex")
    done = run("tools/convert_lpips.py", "--heads", "alex.pth", "--target", "x.ckpt", cwd=tmp_path, code=2)
    check_one_line_error(done, "--vgg", "--alex")


TORCH = """
import sys, numpy as np, torch, torchvision
folder = sys.argv[1]
torch.manual_seed(0)
net = torchvision.models.alexnet().eval()
torch.save(net.state_dict(), folder + "/alexnet.pth")
x, y = (torch.rand(2, 3, 96, 80) * 2 - 1 for _ in range(2))
heads = {f"lin{k}": torch.rand(w) for k, w in enumerate((64, 192, 384, 256, 256))}
shift, scale = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((-.030, -.088, -.188), (.458, .448, .450)))
total = 0
with torch.no_grad():
    a, b, taps = (x - shift) / scale, (y - shift) / scale, iter(heads.values())
    for number, layer in enumerate(net.features):
        a, b = layer(a.clone()), layer(b.clone())
        if number in (1, 4, 7, 9, 11):
            unit = [torch.nn.functional.normalize(f, dim=1) for f in (a, b)]
            total = total + torch.einsum("nchw,c->nhw", (unit[0] - unit[1]) ** 2, next(taps)).mean((1, 2))
np.savez(folder + "/heads.npz", **heads)
np.savez(folder + "/io.npz", x=x, y=y, distance=total)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
def test_alexnet_of_torchvision(tmp_path):
    subprocess.run([sys.executable, "-c", TORCH, str(tmp_path)], check=True, timeout=600)
    network, _ = convert(tmp_path / "alexnet.pth", tmp_path / "heads.npz", "alex")
    io = np.load(tmp_path / "io.npz")
    np.testing.assert_allclose(network(Tensor(io["x"]), Tensor(io["y"])).asnumpy(), io["distance"], rtol=1e-4)
