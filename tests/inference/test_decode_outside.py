"""Latents that others made, and scaled ones, to videos; with a model of two levels."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from caches import encoded, model_fixture, session_fixture, source_fixture  # noqa: F401, fixtures
from media import moving_frames

from mg.errors import InputError
from mg.inference import decode, encode
from mg.inference.decode import Reading, decode_files, decode_frames
from mg.io import pixels
from mg.io.latents import read_latents
from mg.io.video import probe


def test_latents_from_outside_and_scaled_ones_decode(session, model, source, tmp_path, monkeypatch):
    given = []  # frames as they go into the files: H.264 may make much of one level in one pixel

    def kept(*args):
        given.append(list(decode_frames(*args)))
        return given[-1]

    monkeypatch.setattr(decode, "decode_frames", kept)
    encoded(source / "a.mp4", tmp_path / "cache", session)
    latents = read_latents(tmp_path / "cache" / "a.safetensors")
    mean = latents.arrays["mean"]
    header = latents.header
    scaled = (mean - header.shift_factor) * header.scaling_factor
    outside = tmp_path / "outside"
    outside.mkdir()
    np.savez(outside / "model.npz", latents=np.stack((scaled, scaled)))
    np.save(outside / "one.npy", scaled.astype(np.float64))
    assert decode_files(session, outside, tmp_path / "out", Reading(scaled=True, fps=Fraction(12))) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model_0.mp4", "model_1.mp4", "one.mp4"]
    info = probe(tmp_path / "out" / "model_1.mp4")
    assert (info.frames, info.height, info.width, info.fps) == (10, 24, 16, 12)
    expected = pixels.to_frames(model.decode(mean[None]).asnumpy()[0])
    assert len(given) == 3
    for frames in given:  # scaling and back changes the last bits of z
        assert np.abs(np.subtract(frames, expected, dtype=int)).max() <= 1
    ours = replace(latents, arrays=dict.fromkeys(("mean", "std"), scaled))
    encode.write_latents(tmp_path / "scaled.safetensors", ours)
    ((_, z), _), *_ = decode._clips(session, tmp_path / "scaled.safetensors", tmp_path, Reading(scaled=True))
    np.testing.assert_allclose(z, mean, atol=1e-6)


def test_outside_files_that_are_no_latents_are_refused(session, tmp_path):
    shape = (4, 1, 12, 8)
    bad = {
        "two.npz": (lambda p: np.savez(p, a=np.ones(shape), b=np.ones(shape)), "2 arrays"),
        "int.npy": (lambda p: np.save(p, np.ones(shape, int)), "finite in fp32"),
        "nan.npy": (lambda p: np.save(p, np.full(shape, np.nan)), "finite in fp32"),
        "large.npy": (lambda p: np.save(p, np.full(shape, 1e300)), "finite in fp32"),
        "flat.npy": (lambda p: np.save(p, np.ones(shape[1:])), "finite in fp32"),
        "other.npy": (lambda p: np.save(p, np.ones((5, *shape[1:]))), "use the model"),
        "text.npz": (lambda p: p.write_text("text"), "cannot be read|damaged"),
        "object.npy": (lambda p: np.save(p, np.array([{}]), allow_pickle=True), "cannot be read"),
        "name.txt": (lambda p: p.write_text("text"), "must end in"),
    }
    for name, (write, words) in bad.items():
        write(tmp_path / name)
        with pytest.raises(InputError, match=words):
            decode_files(session, tmp_path / name, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_no_result_replaces_that_of_another_file(session, tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "decode_frames", lambda *args: iter(moving_frames(2)))
    z = np.zeros((2, 4, 1, 12, 8), np.float32)
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in" / "a.npz", z)
    np.save(tmp_path / "in" / "a_0.npy", z[0])
    assert decode_files(session, tmp_path / "in", tmp_path / "out") == 1
    assert "would replace that of" in (tmp_path / "out" / "failed.json").read_text()
