"""Clips to a file of tokens and back: what is decoded of it is the reconstruction, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error
from media import moving_frames, write_clip
from small_o2 import build

from mg.inference.clips import find_sources
from mg.inference.encode import encode_files
from mg.io.image import write_image
from mg.io.pixels import to_clip
from mg.io.tokens import TokenFile
from mg.io.video import read_frames
from mg.models import families
from mg.models.session import Session

pytestmark = pytest.mark.usefixtures("uncompiled")
FRAMES = {"a.mp4": 9, "sub/b.mp4": 6}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Two clips, one of a length that is filled up, and an image, encoded by a nano model; and the model."""
    folder = tmp_path_factory.mktemp("tokens")
    for name, frames in FRAMES.items():
        write_clip(folder / "in" / name, moving_frames(frames, 24, 16))
    write_image(folder / "in" / "c.png", moving_frames(1, 24, 16)[0])
    build().save(folder / "nano.safetensors")
    model = families.load(folder / "nano.safetensors")
    session = Session(model)
    assert encode_files(session, find_sources(folder / "cache", folder / "in"), folder / "cache") == 0
    return folder, model


def test_export_read_and_decode_give_the_reconstruction_bit_for_bit(cache):
    folder, model = cache
    done = call_script("tools/export_tokens.py", "--input", "cache", "--output_path", "out", cwd=folder)
    assert "tokens of 3 clips, each of 6 bits" in done.stderr
    file = TokenFile(folder / "out")
    assert file.header.vocabulary_size == 64 and file.header.model == model.family
    assert [file.source(number) for number in range(3)] == ["a.mp4", "c.png", "sub/b.mp4"]
    for number, tokens in enumerate(file.clips()):
        name = file.source(number)
        if name in FRAMES:
            frames = np.stack(list(read_frames(folder / "in" / name)))
            recon = model(to_clip(frames)[None])[0].asnumpy()
            decoded = model.decode_tokens(tokens[None], FRAMES[name]).asnumpy()
            np.testing.assert_array_equal(decoded, recon)
            assert tokens.shape == (model.latent_frames(FRAMES[name]), 6, 4)
        else:
            assert tokens.shape == (1, 6, 4)


def test_a_folder_that_is_no_cache_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    words = "--input", "empty", "--output_path", "out"
    check_one_line_error(call_script("tools/export_tokens.py", *words, cwd=tmp_path, code=2), "holds no latents")
    assert not (tmp_path / "out").exists()
