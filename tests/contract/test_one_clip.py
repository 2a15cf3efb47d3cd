"""One clip through command, API, cache, page and validation: the same frames bit for bit, and the same figures."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from calls import call_script
from media import moving_frames, save_nano, write_clip

from mg.data.config import DataConfig
from mg.data.plan import Share
from mg.demo import explain
from mg.demo.limits import Limits, Request
from mg.inference.clips import find_sources
from mg.inference.decode import decode_frames
from mg.inference.encode import encode_files
from mg.inference.outputs import Outputs
from mg.inference.reconstruct import Saving, reconstruct
from mg.io import pixels
from mg.io.clip import open_clip
from mg.io.latents import read_latents
from mg.losses.objective import Objective, facts_of, objective_config
from mg.models import families
from mg.models.session import Session
from mg.training import validate

FRAMES, HEIGHT, WIDTH = 40, 72, 56
SMALL_TILES = {"encode_tile": 16, "encode_context": 4, "decode_tile": 16, "decode_overlap": 4}
SMALL_TILES.update(spatial_tile=64, spatial_overlap=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and a clip that is longer than a tile."""
    folder = tmp_path_factory.mktemp("one")
    save_nano(folder / "model.safetensors")
    write_clip(folder / "in" / "clip.mp4", moving_frames(FRAMES, HEIGHT, WIDTH), Fraction(24))
    return folder


@pytest.fixture(
    scope="module", params=[{}, pytest.param(SMALL_TILES, marks=pytest.mark.slow)], ids=["default tiles", "small tiles"]
)
def sizes(request):
    return request.param


@pytest.fixture(scope="module")
def session(folder, sizes):
    session = Session(families.load(folder / "model.safetensors", dtype="fp32", **sizes))
    session.prepare(FRAMES, HEIGHT, WIDTH)
    session.model.release_graphs = lambda: None  # all sessions of the model have tiles of one shape here
    return session


@pytest.fixture(scope="module")
def clip(folder):
    """(1, 3, T, H, W) in [-1, 1]."""
    frames = np.stack(list(open_clip(folder / "in" / "clip.mp4").frames))
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    return pixels.to_clip(frames)[None]


def shown(clips):
    """(1, 3, T, H, W) of the model's output -> (T, HEIGHT, WIDTH, 3) uint8."""
    return pixels.to_frames(np.asarray(clips)[0, :, :, :HEIGHT, :WIDTH])


@pytest.fixture(scope="module")
def expected(session, clip):
    """What encode and decode give. It really is tiled: the whole clip would give something else."""
    calls, compute = [], session.model.compute
    session.model.compute = lambda name, *args: calls.append((name, *args[0].shape[2:])) or compute(name, *args)
    frames = shown(session.model.decode(session.model.encode(clip)[1], FRAMES).asnumpy())
    del session.model.compute
    for name, side in (("encoder", 1), ("decoder", 2)):
        tiles = [shape for called, *shape in calls if called == name]
        assert len({tuple(tile) for tile in tiles}) == 1
        if name == "decoder" or session.tiles != session.model.default_tiles:  # whose window and context hold all
            assert len(tiles) > 1 and tiles[0][0] * side != FRAMES
        assert (tiles[0][1] * side < HEIGHT) == (session.tiles.spatial_tile < HEIGHT)
    return frames


@pytest.fixture(scope="module")
def scored(session, folder, expected):
    """Mean figures of the command's function, whose frames are those of the API."""
    frames, add = [], Outputs.add
    try:
        Outputs.add = lambda self, original, recon, spatial: frames.append(recon)
        sources = find_sources(folder / "out", folder / "in")
        assert reconstruct(session, sources, folder / "out", saving=Saving("none")) == 0
    finally:
        Outputs.add = add
    np.testing.assert_array_equal(frames, expected)
    return json.loads((folder / "out" / "metrics.json").read_text())["mean"]


def test_streams_and_calls(session, clip, expected):
    model = session.model
    pieces = (clip[:, :, index : index + 1] for index in range(FRAMES))
    means = [piece[1].asnumpy() for piece in model.encode_stream(pieces)]
    assert len(means) == model.latent_frames(FRAMES)
    stream = np.concatenate([piece.asnumpy() for piece in model.decode_stream(means, FRAMES)], 2)
    np.testing.assert_array_equal(shown(stream), expected)
    recon, z, mean, _ = (tensor.asnumpy() for tensor in model(clip, seed=0))
    np.testing.assert_array_equal(mean, np.concatenate(means, 2))
    np.testing.assert_array_equal(recon, model.decode(z, FRAMES).asnumpy()[..., :HEIGHT, :WIDTH])


def test_cache(session, folder, tmp_path, expected):
    assert encode_files(session, find_sources(tmp_path, folder / "in"), tmp_path) == 0
    latents = read_latents(tmp_path / "clip.safetensors")
    frames = list(decode_frames(session, latents.arrays["mean"], (FRAMES, HEIGHT, WIDTH)))
    np.testing.assert_array_equal(frames, expected)


def test_page(session, folder, tmp_path, monkeypatch, expected, scored):
    frames, psnr = [], explain.psnr
    monkeypatch.setattr(explain, "psnr", lambda *pair: frames.append(pair[1]) or psnr(*pair))
    request = Request(folder / "in" / "clip.mp4", FRAMES, tiles=session.tiles)
    told = explain.explain(session, request, Limits(), tmp_path, lambda *_: None)
    np.testing.assert_array_equal(frames, expected)
    assert (np.mean(told.psnr), np.mean(told.ssim)) == (scored["psnr"], scored["ssim"])


def test_validation(session, folder, tmp_path, monkeypatch, expected, scored):
    frames, psnr = [], validate.psnr
    monkeypatch.setattr(validate, "psnr", lambda *pair: frames.append(pair[1]) or psnr(*pair))
    model = session.model
    with model.evaluating():  # or networks stay as they are trained
        forward = model.training_forward()
    config = objective_config(model.terms)(perceptual_weight=0.0)
    parts = SimpleNamespace(model=model, forward=forward, objective=Objective(config, forward.outputs, facts_of(model)))
    data = DataConfig(video_folder=str(folder / "in"), sample_n_frames=FRAMES, image_size=(HEIGHT, WIDTH))
    figures = validate.Validation(parts, data, Share(1)).run(0, tmp_path)
    np.testing.assert_array_equal(frames, expected)
    for name in ("psnr", "ssim"):  # ranks exchange figures in fp32
        assert figures[name] == np.float32(scored[name])


def test_script(session, sizes, folder, tmp_path, monkeypatch, expected, scored):
    def load(path, dtype, **given):
        assert (path, given) == (str(folder / "model.safetensors"), sizes)
        return session.model

    frames = []
    monkeypatch.setattr(families, "load", load)
    monkeypatch.setattr(Outputs, "add", lambda self, original, recon, spatial: frames.append(recon))
    flags = [word for name, value in sizes.items() for word in (f"--{name}", value)]
    files = ("--input", folder / "in", "--ckpt_path", folder / "model.safetensors", "--save_videos", "none")
    call_script("scripts/reconstruct.py", *files, *flags, cwd=tmp_path)
    np.testing.assert_array_equal(frames, expected)
    report = json.loads((tmp_path / "samples" / "recons" / "metrics.json").read_text())
    assert report["mean"] == scored
