"""Statistics of tokens: of a cache and of its export the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error

from mg.io.image import read_image
from mg.io.latents import Header, Latents, write_latents

TOOL = "tools/token_statistics.py"
HEADER = Header("codes", "int32", 5, 32, 40, "24", "a.mp4", None, {}, "ab", 1.0, 0.0, "toy", None, 64)


def write(path, codes, **changes):
    array = np.asarray(codes, np.int32).reshape(1, 2, 4, 5)
    write_latents(path, Latents(replace(HEADER, **changes), {"codes": array}))


@pytest.fixture
def cache(tmp_path):
    """All tokens of two clips."""
    codes = np.random.default_rng(0).integers(0, 50, (2, 40))
    for name, of_clip in zip("ab", codes):
        write(tmp_path / "cache" / f"{name}.safetensors", of_clip)
    return codes


def test_a_cache_and_its_export_have_the_same_figures(cache, tmp_path):
    done = call_script(TOOL, "--input", "cache", "--output_path", "of_cache.json", cwd=tmp_path)
    call_script("tools/export_tokens.py", "--input", "cache", "--output_path", "tokens", cwd=tmp_path)
    call_script(TOOL, "--input", "tokens", "--output_path", "of_export.json", cwd=tmp_path)
    figures = json.loads((tmp_path / "of_cache.json").read_text())
    assert json.loads((tmp_path / "of_export.json").read_text()) == figures
    counts = np.bincount(cache.ravel())
    shares = counts[counts > 0] / cache.size
    assert (figures["clips"], figures["tokens"], figures["bits"]) == (2, 80, 6)
    assert (figures["distinct"], figures["share"]) == (len(shares), len(shares) / 64)
    assert figures["perplexity"] == pytest.approx(np.prod(shares**-shares))
    assert figures["ones_by_bit"][-1] == pytest.approx((cache % 2).mean())
    assert f"{len(shares)} of 64 codes" in done.stdout
    for name in ("of_cache", "of_export"):
        assert read_image(tmp_path / f"{name}.png").std() > 5


@pytest.mark.parametrize(
    "changes, words", [({"weights_sha256": "cd"}, "other weights"), ({"vocabulary": None}, "does not say how many")]
)
def test_what_does_not_belong_together_is_one_line(cache, tmp_path, changes, words):
    write(tmp_path / "cache" / "c.safetensors", [0] * 40, **changes)
    check_one_line_error(call_script(TOOL, "--input", "cache", cwd=tmp_path, code=2), words)
    assert not list(tmp_path.glob("token_statistics*"))


def test_the_picture_has_a_name_of_its_own(cache, tmp_path):
    words = "--input", "cache", "--output_path", "a.png"
    check_one_line_error(call_script(TOOL, *words, cwd=tmp_path, code=2), "name another")
