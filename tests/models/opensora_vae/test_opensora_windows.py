"""Frames that are numbers through the windows of Open-Sora's VAE, whose networks are replaced by exact stand-ins."""

from __future__ import annotations

import numpy as np
import pytest
from media import moving_frames, write_clip
from mindspore import Tensor

from mg.errors import InputError
from mg.inference.clips import find_sources
from mg.inference.decode import decode_files
from mg.inference.encode import encode_files
from mg.io.latents import read_latents
from mg.io.video import probe
from mg.models import families
from mg.models.opensora_vae.model import OpenSoraVAE
from mg.models.session import Session

NANO = {
    **{"spatial_channels": (8, 16), "spatial_blocks": 1, "spatial_groups": 2, "spatial_factor": 0.5},
    **{"temporal_channels": 8, "temporal_multiples": (1, 1, 1), "temporal_blocks": 1, "temporal_groups": 2},
    "halved_levels": (0, 1),
}
# Frames -> latent frames, in windows of 17 and in one.
LENGTHS = {1: (1, 1), 4: (1, 1), 5: (2, 2), 16: (4, 4), 17: (5, 5), 18: (6, 5), 20: (6, 5), 21: (6, 6), 22: (7, 6)}
LENGTHS.update({33: (9, 9), 34: (10, 9), 35: (11, 9), 40: (12, 10), 51: (15, 13), 52: (16, 13), 68: (20, 17)})


def stand_in(name, array, reference=None):
    """Four frames are the four channels of a latent frame; zeros come in front. Pictures are one number each."""
    batch, _, frames, *grid = array.shape
    if name == "spatial_encoder":
        mean = np.repeat(array[:, :1, :, ::2, ::2], 4, 1)
        return np.concatenate((mean, mean), 1)
    if name == "temporal_encoder":
        filled = np.concatenate((np.zeros((batch, -frames % 4, *grid)), array[:, 0]), 1)
        mean = filled.reshape(batch, -1, 4, *grid).swapaxes(1, 2)
        return np.concatenate((mean, np.full_like(mean, -30)), 1).astype(np.float32)
    if name == "temporal_decoder":
        recon = array.swapaxes(1, 2).reshape(batch, 1, 4 * frames, *grid)
        return np.repeat(recon, 4, 1)
    return np.repeat(array[:, :3].repeat(2, 3), 2, 4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("nano") / "model.safetensors"
    OpenSoraVAE(NANO).save(path)
    model = families.load(path)
    object.__setattr__(model, "compute", stand_in)
    return model


@pytest.fixture(params=["restart", "whole"])
def mode(request, model):
    before = model.tiles
    model.tiles = before.but(time_mode=request.param)
    yield request.param
    model.tiles = before


def numbered(frames):
    """(1, 3, T, 16, 16): every pixel of frame t is (t + 1) / 100."""
    return np.broadcast_to(
        (np.arange(frames, dtype=np.float32)[:, None, None] + 1) / 100, (1, 3, frames, 16, 16)
    ).copy()


def test_how_many_latent_frames_there_are(model, mode):
    column = ("restart", "whole").index(mode)
    for frames, counts in LENGTHS.items():
        assert model.latent_frames(frames) == counts[column], frames
        assert model.frames(counts[column] - 1) < frames <= model.frames(counts[column])


@pytest.mark.parametrize("frames", range(1, 41))
def test_every_length_comes_back_through_every_door(model, mode, frames):
    x = numbered(frames)
    _, mean, _ = model.encode(x, seed=0)
    assert mean.shape == (1, 4, model.latent_frames(frames), 8, 8)
    pieces = [piece[1] for piece in model.encode_stream(x[:, :, start : start + 7] for start in range(0, frames, 7))]
    np.testing.assert_array_equal(np.concatenate([piece.asnumpy() for piece in pieces], 2), mean.asnumpy())
    session = Session(model)
    found = [
        model.decode(mean, frames).asnumpy(),
        np.concatenate([clip.asnumpy() for clip in model.decode_stream(pieces, frames)], 2),
        model(x, seed=0)[0].asnumpy(),
        np.concatenate(list(session.decode(map(model.latents.decoded, session.encode([x])), lambda: frames)), 2),
    ]
    for recon in found:
        assert recon.shape == x.shape
        np.testing.assert_allclose(recon, x, atol=1e-5)
    if frames == 1:
        np.testing.assert_array_equal(model(x[:, :, 0], seed=0)[0].asnumpy(), found[2][:, :, 0])


def test_without_tiles_a_clip_is_one_window(model):
    x = numbered(34)
    model.use_tile = False
    try:
        _, mean, _ = model.encode(x)
        assert mean.shape[2] == 9
        np.testing.assert_allclose(model.decode(mean, 34).asnumpy(), x, atol=1e-5)
    finally:
        model.use_tile = True


def test_a_number_of_frames_that_the_latents_cannot_be_of_is_refused(model):
    z = np.zeros((1, 4, 9, 8, 8), np.float32)
    assert model.decode(z).shape[2] == 33
    for frames in (32, 30, 33):
        assert model.decode(z, frames).shape[2] == frames
    for frames in (1, 29, 34):
        with pytest.raises(InputError, match="must be from 30 to 33"):
            model.decode(z, frames)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"encode_tile": 9}, "must be one number"),
        ({"encode_tile": 0, "decode_tile": 0}, "must be a whole number of at least 1"),
        ({"time_mode": "blend"}, "use one of restart, whole"),
        ({"encode_context": 4}, "share nothing"),
    ],
)
def test_windows_that_it_does_not_take(model, sizes, words):
    with pytest.raises(InputError, match=words):
        model.tiles = model.tiles.but(**sizes)


def test_a_file_of_latents_says_how_it_is_decoded(model, mode, tmp_path):
    write_clip(tmp_path / "in" / "clip.mp4", moving_frames(34, 16, 16))
    assert encode_files(Session(model), find_sources(tmp_path / "cache", tmp_path / "in"), tmp_path / "cache") == 0
    latents = read_latents(tmp_path / "cache" / "clip.safetensors")
    windows = {"time_mode": mode, "encode_tile": 17, "decode_tile": 17}
    assert latents.header.frames == 34 and latents.header.options["windows"] == windows
    assert latents.shape[1] == (10 if mode == "restart" else 9)
    other = Session(model)
    other.tiles = other.tiles.but(time_mode="whole" if mode == "restart" else "restart")
    assert decode_files(other, tmp_path / "cache", tmp_path / "back") == 0
    assert other.tiles.time_mode == mode
    assert probe(tmp_path / "back" / "clip.mp4") == probe(tmp_path / "in" / "clip.mp4")


def test_latents_of_a_diffusion_model_have_four_factors():
    vae = OpenSoraVAE({**NANO, "scaling_factor": [0.25, 0.5, 2, 4], "shift_factor": [-0.1, 0.34, 0.27, 0.98]})
    z = np.ones((1, 4, 2, 8, 8), np.float32)
    scaled = vae.scale(Tensor(z)).asnumpy()[0, :, 0, 0, 0]
    np.testing.assert_allclose(scaled, [1.1 / 4, 0.66 / 2, 0.73 * 2, 0.02 * 4], rtol=1e-5)
    np.testing.assert_allclose(vae.unscale(vae.scale(Tensor(z))).asnumpy(), z, atol=1e-6)
