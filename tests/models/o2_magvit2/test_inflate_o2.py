"""The image model inflated: exactly the same for an image, and at every frame of a clip whose frames are equal."""

from __future__ import annotations

import numpy as np
import pytest
from calls import call_script
from small_o2 import IMAGE, VIDEO, build, clip

from mg.errors import InputError
from mg.models import families, weights
from mg.models.o2_magvit2.inflate import inflate

pytestmark = pytest.mark.usefixtures("uncompiled")
EQUAL = 1e-5


@pytest.fixture(scope="module")
def image_model():
    """Not to be changed."""
    return build(IMAGE)


@pytest.fixture
def path(image_model, tmp_path):
    image_model.save(tmp_path / "image.safetensors")
    return tmp_path / "image.safetensors"


def raw_of(model, x):
    return np.concatenate(list(model.raw_stream([x])), 2)


def check_equal(image_model, model, image):
    """For the image, and for a clip of nine of it."""
    raw = raw_of(image_model, image[:, :, None])
    recon = image_model.decode(image_model.latents.decoded(raw)).asnumpy()
    for frames in (1, 9):
        x = np.repeat(image[:, :, None], frames, 2)
        inflated = raw_of(model, x)
        assert np.abs(inflated - raw).max() < EQUAL
        assert inflated.shape[2] == model.latent_frames(frames)
        clips = model.decode(model.latents.decoded(inflated)).asnumpy()
        assert np.abs(clips - recon).max() < EQUAL
        assert clips.shape[2] == frames


def test_the_inflated_model_is_the_image_model(image_model, path, tmp_path):
    done = call_script("tools/inflate_magvit2.py", "--src", path, "--target", "video.safetensors", cwd=tmp_path)
    model = families.load(tmp_path / "video.safetensors")
    assert model.config["temporal_downsample"] == (True, True) and not model.config["image_model"]
    assert "4 tensors of depth to space were doubled" in done.stdout
    check_equal(image_model, model, clip(2, 3, 16, 24))


def test_which_levels_halve_time_can_be_chosen(image_model, path):
    done = inflate(path, (False, True))
    assert (done.model.time_compression, done.doubled) == (2, 2)
    assert done.kernels + done.doubled + done.copied == len(weights.named_parameters(image_model))
    check_equal(image_model, done.model, clip(1, 3, 16, 16))


def test_a_video_model_is_refused(tmp_path):
    build(VIDEO).save(tmp_path / "video.safetensors")
    with pytest.raises(InputError, match="is a video model already"):
        inflate(tmp_path / "video.safetensors")


def test_the_originals_image_model_can_be_inflated_as_it_is(shared):
    """A model of random weights, of another program."""
    folder = shared / "golden/o2_magvit2_mini"
    golden, model = np.load(folder / "io_2d.npz"), inflate(folder / "weights_2d.safetensors").model
    x = golden["image"]
    raw = raw_of(model, x[:, :, None])[:, :, 0]
    assert np.abs(raw - golden["pre_quant"]).max() < EQUAL
    recon = model.decode(golden["codes"].astype(np.float32)).asnumpy()
    assert np.abs(recon - golden["decoded"]).max() < EQUAL * np.abs(golden["decoded"]).max() * 2
