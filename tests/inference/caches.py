"""Clips that are encoded with a model which compiles nothing: fixtures and one call, for tests of caches."""

from fractions import Fraction

import pytest
from averages import averaging_session
from media import moving_frames, write_clip

from mg.inference.clips import find_sources
from mg.inference.encode import Storing, encode_files
from mg.inference.options import Options
from mg.io.clip import Sampling
from mg.io.image import write_image

FRAMES = 9  # of the videos, of 23x16


@pytest.fixture(name="session", scope="module")
def session_fixture(tmp_path_factory):
    """A model at work that compiles nothing."""
    return averaging_session(tmp_path_factory.mktemp("weights") / "nano.safetensors")


@pytest.fixture(name="model")
def model_fixture(session):
    return session.model


@pytest.fixture(name="source")
def source_fixture(tmp_path):
    """A video, one of another rate in a subfolder, and an image."""
    frames = moving_frames(FRAMES, 23, 16)
    write_clip(tmp_path / "in" / "a.mp4", frames)
    write_clip(tmp_path / "in" / "sub" / "b.mp4", frames, Fraction(30000, 1001))
    write_image(tmp_path / "in" / "c.png", frames[0])
    return tmp_path / "in"


POSTERIOR, SAMPLE = Storing(), Storing("sample")


def encoded(source, output, session, storing=POSTERIOR, seed=0, **sampling):
    options = Options(Sampling(**sampling), seed=seed)
    return encode_files(session, find_sources(output, source), output, options, storing)
