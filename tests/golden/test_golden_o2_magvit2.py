"""The tokenizer against arrays that the original's classes computed, through the conversion and the public API."""

from __future__ import annotations

import numpy as np
import pytest
from calls import call_script
from conftest import SHARED, graphs, pynative

from mg.models import families

RAW, DECODED = 1e-4, 2e-4


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """(folder of golden arrays, the 3D model, the 2D model), converted by the tool."""
    source, folder = SHARED / "golden/o2_magvit2_mini", tmp_path_factory.mktemp("converted")
    if not source.is_dir():
        pytest.skip("the folder 'shared' with golden arrays is not beside the repository")
    models = []
    for name in ("weights", "weights_2d"):
        target = folder / f"{name}.safetensors"
        call_script(
            "tools/convert_checkpoint.py", "--src", source / f"{name}.safetensors", "--target", target, cwd=folder
        )
        models.append(families.load(target))
    return source, *models


def check(model, golden, name, x, mode):
    """Raw output, codes, integers and pixels of a clip or an image."""
    with mode():
        raw = np.concatenate(list(model.raw_stream([x if x.ndim == 5 else x[:, :, None]])), 2)
        z, tokens = (tensor.asnumpy() for tensor in model.encode(x))
        decoded = model.decode(golden[f"{name}codes"].astype(np.float32)).asnumpy()
        assert (model.decode_tokens(golden[f"{name}indices"]).asnumpy() == decoded).all()
    expected = golden[f"{name}pre_quant"]
    assert np.abs(raw.reshape(expected.shape) - expected).max() < RAW
    assert np.abs(expected).min() > RAW  # so every token is told
    np.testing.assert_array_equal(z, golden[f"{name}codes"])
    np.testing.assert_array_equal(tokens, golden[f"{name}indices"])
    assert np.abs(decoded - golden[f"{name}decoded"]).max() < DECODED


def test_an_image_and_clips_of_9_and_17_frames(converted):
    folder, model, _ = converted
    golden = np.load(folder / "io.npz")
    check(model, golden, "image_", golden["image"], pynative)
    check(model, golden, "t9_", golden["video"][:, :, :9], pynative)
    check(model, golden, "t17_", golden["video"], graphs)
    assert model.graphs == 2


def test_images_through_the_2d_model(converted):
    folder, _, model = converted
    golden = np.load(folder / "io_2d.npz")
    assert model.config["image_model"] and model.time_compression == 1
    check(model, golden, "", golden["image"], graphs)
