"""Statistics of a cache against NumPy's of all its values at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error

from mg.io.latents import Header, Latents, write_latents

TOOL = "tools/latent_statistics.py"
HEADER = Header("posterior", "fp32", 24, 32, 40, "24", "a.mp4", None, {}, "ab", 2.0, 0.5)


def test_figures_are_those_of_all_values_at_once(tmp_path):
    rng = np.random.default_rng(0)
    means, variances = [], []
    for clip, frames in enumerate((3, 1, 7)):
        mean = (rng.standard_normal((4, frames, 4, 5)) * [[[[1]]], [[[2]]], [[[3]]], [[[0.1]]]] + 5).astype(np.float32)
        std = rng.uniform(0.1, 1, mean.shape).astype(np.float32)
        mean[1, 0, 0, 0] = 40
        write_latents(tmp_path / "cache" / f"{clip}.safetensors", Latents(HEADER, {"mean": mean, "std": std}))
        means.append(mean.reshape(4, -1).astype(np.float64))
        variances.append(std.reshape(4, -1).astype(np.float64) ** 2)
    done = call_script(TOOL, "--input", "cache", "--output_path", "figures.json", cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    mean, variance = np.concatenate(means, 1), np.concatenate(variances, 1)
    std = np.sqrt((mean**2 + variance).mean(1) - mean.mean(1) ** 2)
    rows = figures["channels"]
    np.testing.assert_allclose([row["shift"] for row in rows], mean.mean(1), rtol=1e-12)
    np.testing.assert_allclose([row["scaling"] for row in rows], 1 / std, rtol=1e-12)
    outliers = (np.abs(mean - mean.mean(1, keepdims=True)) > 3 * std[:, None]).mean(1)
    assert [row["outliers"] for row in rows] == outliers.tolist()
    assert outliers[1] >= 3 / mean.shape[1]
    whole = np.sqrt((mean**2 + variance).mean() - mean.mean() ** 2)
    np.testing.assert_allclose([figures["shift"], figures["scaling"]], [mean.mean(), 1 / whole], rtol=1e-12)
    assert (figures["files"], figures["values_per_channel"]) == (3, 11 * 20)
    assert figures["weights_sha256"] == HEADER.weights_sha256
    assert f"| all | {mean.mean():.5f} |" in done.stdout


def write_codes(path, codes, **changes):
    header = replace(HEADER, kind="codes", dtype="int32", **changes)
    write_latents(path, Latents(header, {"codes": np.asarray(codes, np.int32).reshape(1, 1, 4, 5)}))


def test_figures_of_codes_are_those_of_all_at_once(tmp_path):
    codes = [[7] * 10 + [3] * 10, [7] * 15 + [5] * 5]
    for name, of_clip in zip("ab", codes):
        write_codes(tmp_path / "cache" / f"{name}.safetensors", of_clip)
    done = call_script(TOOL, "--input", "cache", "--output_path", "figures.json", cwd=tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text())
    shares = np.array([25, 10, 5]) / 40
    assert (figures["files"], figures["values"], figures["different"]) == (2, 40, 3)
    assert figures["entropy_bits"] == pytest.approx(-(shares * np.log2(shares)).sum())
    assert figures["perplexity"] == pytest.approx(np.prod(shares**-shares))
    assert "3 different ones" in done.stdout


@pytest.mark.parametrize("first", ["latents", "codes"])
@pytest.mark.parametrize("changes, words", [({"weights_sha256": "cd"}, "other weights"), (None, "unlike files before")])
def test_what_does_not_belong_together_is_refused(tmp_path, first, changes, words):
    def write(name, kind, **changes):
        if kind == "codes":
            return write_codes(tmp_path / name, range(20), **changes)
        z = np.random.default_rng(0).standard_normal((4, 1, 4, 5)).astype(np.float32)
        return write_latents(tmp_path / name, Latents(replace(HEADER, kind="sample", **changes), {"z": z}))

    other = {"latents": "codes", "codes": "latents"}[first]
    write("a.safetensors", first)
    write("b.safetensors", other if changes is None else first, **(changes or {}))
    check_one_line_error(call_script(TOOL, "--input", ".", cwd=tmp_path, code=2), words)
    assert not (tmp_path / "latent_statistics.json").exists()
