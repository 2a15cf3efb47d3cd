"""A list of good and bad clips, and what a model that compiles nothing makes of it: fixtures and one call."""

import json

import numpy as np
import pytest
from averages import averaging_session
from media import write_clip

from mg.inference.clips import find_sources
from mg.inference.options import Options
from mg.inference.reconstruct import reconstruct
from mg.io.clip import Sampling
from mg.io.image import write_image

NAMES = ["b.mp4", "a.mp4", "missing.mp4", "short.mp4", "bad.mp4", "picture.png", "c.mp4", "a.mp4"]


@pytest.fixture(name="listed")
def listed_fixture(tmp_path):
    """Arguments for a list of five good files, one of them twice and one shorter, and two bad ones."""
    folder = tmp_path / "videos"
    for seed, (name, count) in enumerate((("a", 9), ("b", 9), ("c", 9), ("short", 5))):
        still = np.kron(np.random.default_rng(seed).integers(0, 256, (8, 6, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        frames = [np.ascontiguousarray(np.roll(still, index, 1)[:, :20]) for index in range(count)]
        write_clip(folder / f"{name}.mp4", frames)
    write_image(folder / "picture.png", still)
    (folder / "bad.mp4").write_text("no video")
    (tmp_path / "list.csv").write_text("\n".join(["video", *NAMES]) + "\n")
    return {"csv_path": tmp_path / "list.csv", "video_folder": folder}


@pytest.fixture(name="session", scope="module")
def session_fixture(tmp_path_factory):
    """A model at work that compiles nothing."""
    return averaging_session(tmp_path_factory.mktemp("weights") / "nano.safetensors")


def evaluated(listed, session, output, code=2, sample=False, batch_size=1, **more):
    options = Options(Sampling(num_frames=9, image_size=(24, 16)), sample, batch_size=batch_size)
    assert reconstruct(session, find_sources(output, **listed), output, options, **more) == code
    return json.loads((output / "metrics.json").read_text())


@pytest.fixture(name="wrapped")
def wrapped_fixture(session, monkeypatch):
    """Put something around the decoding of tiles for one test."""

    def wrap(function):
        decode_tile = session.model.decode_tile
        monkeypatch.setattr(session.model, "decode_tile", lambda *args: function(decode_tile, *args), raising=False)

    return wrap
