"""Weights and caches of the version before there were several families: they load, decode to the same, and go on.

`old` was written by that version: random weights of a very small TAE, a clip, caches of its posterior and of a sample,
and the frames that were decoded from them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mg.data.latent_dataset import LatentSource
from mg.inference.clips import find_sources
from mg.inference.decode import decode_files, decode_frames
from mg.inference.encode import Storing, encode_files
from mg.io.latents import read_latents
from mg.io.video import probe
from mg.models import families
from mg.models.session import Session

OLD = Path(__file__).with_name("old")
KINDS = ("posterior", "sample")


@pytest.fixture(scope="module")
def session():
    """The model at work without tiles, as it was then."""
    return Session(families.load(OLD / "weights.safetensors"), use_tile=False)


def test_weights_are_of_their_family(session):
    assert session.model.family == "tae"
    assert dict(session.model.config)["ch"] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_decodes_to_the_same_frames(session, tmp_path, kind):
    latents = read_latents(OLD / kind / "clip.safetensors")
    header = latents.header
    assert (header.kind, header.model, header.source) == (kind, None, "clip.mp4")
    z = session.model.latents.restored(latents.arrays)
    frames = np.stack(list(decode_frames(session, z, (header.frames, header.height, header.width))))
    before = np.load(OLD / f"{kind}_frames.npz")["frames"]
    assert np.abs(np.subtract(frames, before, dtype=int)).max() <= 1  # another processor may round otherwise
    assert decode_files(session, OLD / kind, tmp_path) == 0
    assert probe(tmp_path / "clip.mp4") == probe(OLD / "clip.mp4")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_is_gone_on_with(session, tmp_path, kind):
    shutil.copytree(OLD / kind, tmp_path / kind)
    before = (tmp_path / kind / "clip.safetensors").read_bytes()
    sources, storing = find_sources(tmp_path / kind, OLD / "clip.mp4"), Storing(kind, "fp16")
    assert encode_files(session, sources, tmp_path / kind, storing=storing) == 0
    assert (tmp_path / kind / "clip.safetensors").read_bytes() == before
    assert LatentSource(tmp_path / kind)[0].shape == (2, 2, 8, 12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_encoded_now_is_what_was_encoded_then(session, tmp_path, kind, monkeypatch):
    """But for the end of a clip of 3 frames: layers filled it up then, each for itself."""
    monkeypatch.setattr(session.model, "filled", lambda frames: frames)
    sources = find_sources(tmp_path, OLD / "clip.mp4")
    assert encode_files(session, sources, tmp_path, storing=Storing(kind, "fp16")) == 0
    now, then = (read_latents(folder / "clip.safetensors").arrays for folder in (tmp_path, OLD / kind))
    for name, array in then.items():
        np.testing.assert_allclose(now[name], array, rtol=2e-3, atol=1e-3)
