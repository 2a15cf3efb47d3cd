"""A clip is opened once and decoded once, whatever a command makes of it."""

from fractions import Fraction

import numpy as np
import pytest
from averages import averaging_session
from media import write_clip
from openings import count_openings

from mg.inference.clips import find_sources
from mg.inference.encode import encode_files
from mg.inference.options import Options
from mg.inference.reconstruct import Saving, reconstruct
from mg.io.clip import Sampling
from mg.io.image import write_image

TAKEN = 3  # frames of every video here


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A model at work that compiles nothing."""
    return averaging_session(tmp_path_factory.mktemp("weights") / "nano.safetensors")


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (9, 16, 24, 3), np.uint8)
    for name, count in (("a.mp4", TAKEN), ("long.mp4", 9)):
        write_clip(tmp_path / "media" / name, noise[:count])
    write_image(tmp_path / "media" / "b.png", noise[0])
    return tmp_path / "media"


def encode(session, sources, output, options):
    return encode_files(session, sources, output, options)


def score(session, sources, output, options):
    return reconstruct(session, sources, output, options, saving=Saving("none"))


@pytest.mark.parametrize("command", [encode, score])
def test_a_video_and_an_image_are_opened_once(session, folder, tmp_path, monkeypatch, command):
    for name, opened in (("a.mp4", {"pyav": 1, "decoded": TAKEN, "frames": TAKEN}), ("b.png", {"image": 1})):
        with monkeypatch.context() as patch:
            counts = count_openings(patch)
            sources = find_sources(tmp_path / "out", folder / name)
            assert command(session, sources, tmp_path / "out" / name, Options()) == 0
            assert counts == opened


@pytest.mark.parametrize("command", [encode, score])
def test_of_frames_that_are_not_taken_only_the_times_are_looked_at(session, folder, tmp_path, monkeypatch, command):
    counts = count_openings(monkeypatch)
    sources = find_sources(tmp_path / "out", folder / "long.mp4")
    options = Options(sampling=Sampling(sample_fps=Fraction(25, 2), num_frames=TAKEN))
    assert command(session, sources, tmp_path / "out", options) == 0
    assert counts == {"pyav": 1, "decoded": 9, "frames": 3}
