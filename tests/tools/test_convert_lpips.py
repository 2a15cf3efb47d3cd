"""tools/convert_lpips.py: published files in, one strict file out."""

import sys

import mindspore as ms
import numpy as np
import pytest
from calls import call_script
from conftest import ROOT, check_one_line_error
from mindspore import Tensor

from mg.errors import InputError
from mg.models import weights
from mg.models.lpips.convert import convert
from mg.models.lpips.network import LPIPS
from mg.models.lpips.vgg import WIDTHS

sys.path.append(str(ROOT / "tests/models"))
from torch_writer import laid, write_archive

TOOL = "tools/convert_lpips.py"
CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # torchvision's numbers
CHANNELS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


@pytest.fixture(scope="module")
def vgg():
    """A VGG16 file's tensors by torchvision's names, random, with some of a classifier."""
    rng = np.random.default_rng(0)
    tensors = {"classifier.0.weight": np.zeros((2, 2), np.float32), "classifier.0.bias": np.zeros(2, np.float32)}
    for number, into, out in zip(CONVOLUTIONS, CHANNELS, CHANNELS[1:]):
        tensors[f"features.{number}.weight"] = rng.standard_normal((out, into, 3, 3), dtype=np.float32)
        tensors[f"features.{number}.bias"] = rng.standard_normal(out, dtype=np.float32)
    return tensors


@pytest.fixture
def heads(tmp_path):
    """The heads as a plain .npz."""
    np.savez(tmp_path / "heads.npz", **{f"lin{k}": np.full(w, k + 0.5, np.float32) for k, w in enumerate(WIDTHS)})
    return tmp_path / "heads.npz"


def save(path, tensors):
    np.savez(path, **tensors)
    return path


def test_torchvision_and_published_heads_to_lpips(tmp_path, vgg, shared):
    write_archive(tmp_path / "vgg16.pth", {name: laid(array) for name, array in vgg.items()})
    published = shared / "data/lpips/vgg.pth"
    done = call_script(
        TOOL, "--vgg", tmp_path / "vgg16.pth", "--heads", published, "--target", "out.safetensors", cwd=tmp_path
    )
    assert "with biases" in done.stdout and "notice" not in done.stderr

    loaded = LPIPS(tmp_path / "out.safetensors")
    values = {name: p.asnumpy() for name, p in weights.named_parameters(loaded).items()}
    assert len(values) == 31 and loaded.biases
    for number in CONVOLUTIONS:
        for part in ("weight", "bias"):
            name = f"features.{number}.{part}"
            np.testing.assert_array_equal(values[f"vgg.{name}"], vgg[name])
    expected = np.load(shared / "data/lpips/vgg.npz")
    for number in range(5):
        np.testing.assert_array_equal(values[f"heads.{number}.weight"], expected[f"lin{number}"])


def test_mindcv_is_accepted_and_called_perceptual_but_not_lpips(tmp_path, vgg, heads):
    kept = {name: array for name, array in vgg.items() if not (name.startswith("features") and name.endswith("bias"))}
    entries = [{"name": name, "data": Tensor(array)} for name, array in kept.items()]
    ms.save_checkpoint(entries, str(tmp_path / "vgg16.ckpt"))
    done = call_script(
        TOOL, "--vgg", tmp_path / "vgg16.ckpt", "--heads", heads, "--target", tmp_path / "out.ckpt", cwd=tmp_path
    )
    assert "perceptual, but not LPIPS" in done.stderr and "without biases" in done.stdout

    file = weights.TensorFile(tmp_path / "out.ckpt")
    assert file.header["family"] == "lpips_vgg"
    assert file.header["biases"] is False
    for number in CONVOLUTIONS:
        assert not file[f"vgg.features.{number}.bias"].any()
        np.testing.assert_array_equal(file[f"vgg.features.{number}.weight"], vgg[f"features.{number}.weight"])


def test_what_does_not_fit_is_counted_and_named(tmp_path, vgg, heads):
    changed = dict(vgg)
    del changed["features.5.bias"]
    changed["features.1.running_mean"] = np.zeros(64, np.float32)
    changed["features.7.weight"] = np.zeros((128, 128, 1, 1), np.float32)
    with pytest.raises(InputError, match=r"1 missing \(vgg\.features\.5\.bias\); 1 unexpected") as error:
        convert(save(tmp_path / "vgg.npz", changed), heads)
    assert "1 of another shape (vgg.features.7.weight (128, 128, 1, 1)" in str(error.value)


@pytest.mark.parametrize("damage", ["missing", "shape", "unexpected"])
def test_heads_are_strict_too(tmp_path, vgg, heads, damage):
    lines = dict(np.load(heads))
    if damage == "missing":
        del lines["lin3"]
    lines["lin2"] = lines["lin2"][:5] if damage == "shape" else lines["lin2"]
    lines["lin9" if damage == "unexpected" else "lin0"] = lines["lin0"]
    word = {"missing": "heads.3.weight", "shape": r"heads.2.weight \(5,\)", "unexpected": "heads.9.weight"}[damage]
    with pytest.raises(InputError, match=word):
        convert(save(tmp_path / "vgg.npz", vgg), save(tmp_path / "x.npz", lines))


def test_a_file_without_any_convolution_is_refused(tmp_path, heads):
    with pytest.raises(InputError, match="26 missing"):
        convert(save(tmp_path / "vgg.npz", {"classifier.0.weight": np.zeros((2, 2), np.float32)}), heads)


@pytest.mark.parametrize("name, content", [("a.npz", b"PK"), ("a.pth", b"PK\x03\x04"), ("a.bin", b"x"), ("b.npz", b"")])
def test_files_that_cannot_be_read(tmp_path, heads, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        convert(tmp_path / name, heads)


def test_the_tool_refuses_in_one_line_and_writes_nothing(tmp_path, heads):
    done = call_script(TOOL, "--vgg", "absent.pth", "--heads", heads, "--target", "out.ckpt", cwd=tmp_path, code=2)
    check_one_line_error(done, "absent.pth")
    assert not (tmp_path / "out.ckpt").exists()
