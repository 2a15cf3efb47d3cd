"""A cache in the files of other programs, read by what reads them there."""

import json
import sys
from dataclasses import replace
from fractions import Fraction

import mindspore.dataset as ds
import numpy as np
import pytest
from averages import averaging_session
from calls import call_script
from conftest import check_one_line_error

from mg.inference import decode
from mg.inference.decode import Reading, decode_files, decode_frames
from mg.io.latents import Header, Latents, write_latents

TOOL = "tools/export_latents.py"
TIMES = tuple(map(Fraction, ("0", "1/20", "3/20", "1/5", "1/4", "3/10")))
HEADER = Header("posterior", "fp32", 5, 23, 16, "20", "sub/a.mp4", None, {}, "ab", 2.0, 0.5, "tae", TIMES)


def posterior(frames, seed=0):
    rng = np.random.default_rng(seed)
    arrays = (rng.standard_normal((4, frames, 12, 8)), rng.uniform(0.1, 1, (4, frames, 12, 8)))
    return dict(zip(("mean", "std"), (array.astype(np.float32) for array in arrays)))


@pytest.fixture
def cache(tmp_path):
    """A video whose rate varies, in a subfolder, and an image."""
    image = replace(HEADER, frames=1, fps=None, times=None, source="b.png")
    clips = {"sub/a.safetensors": Latents(HEADER, posterior(3)), "b.safetensors": Latents(image, posterior(1, 1))}
    for name, latents in clips.items():
        write_latents(tmp_path / "cache" / name, latents)
    return {latents.header.source: latents for latents in clips.values()}


def export(kind, folder, code=0):
    return call_script(TOOL, "--input", "cache", "--format", kind, "--output_path", "out", cwd=folder, code=code)


def test_mindone_finds_mean_and_deviation_frames_first_under_the_clips_name(cache, tmp_path):
    done = export("mindone", tmp_path)
    for source, latents in cache.items():
        with np.load((tmp_path / "out" / source).with_suffix(".npz")) as file:
            assert set(file.files) == {"latent_mean", "latent_std"}
            for part, array in latents.arrays.items():
                assert file[f"latent_{part}"].dtype == np.float32
                np.testing.assert_array_equal(file[f"latent_{part}"], array.transpose(1, 0, 2, 3))
    assert "tae_scale_factor 2.0 and tae_shift_factor 0.5" in done.stderr


def test_npz_holds_the_arrays_and_the_header(cache, tmp_path):
    export("npz", tmp_path)
    with np.load(tmp_path / "out" / "sub" / "a.npz") as file:
        for name, array in cache["sub/a.mp4"].arrays.items():
            np.testing.assert_array_equal(file[name], array)
        header = json.loads(str(file["header"]))
    assert (header["frames"], header["fps"], header["scaling_factor"]) == (5, "20", 2.0)
    assert tuple(map(Fraction, header["times"])) == TIMES


def test_mindrecord_is_read_by_mindspore(cache, tmp_path):
    export("mindrecord", tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"latents.mindrecord", "latents.mindrecord.db"}
    data = ds.MindDataset(str(tmp_path / "out" / "latents.mindrecord"), shuffle=False)
    items = {str(item["name"]): item for item in data.create_dict_iterator(num_epochs=1, output_numpy=True)}
    assert set(items) == set(cache)
    for source, latents in cache.items():
        item = items[source]
        for name, array in latents.arrays.items():
            np.testing.assert_array_equal(item[name].reshape(item["shape"]), array)
        assert (item["frames"], item["height"], item["width"]) == (latents.header.frames, 23, 16)
        assert str(item["rate"]) == (latents.header.fps or "")
        assert (item["scaling_factor"].tolist(), item["shift_factor"].tolist()) == ([2.0], [0.5])


def test_parquet_is_read_by_pyarrow(cache, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    export("parquet", tmp_path)
    rows = {row["name"]: row for row in parquet.read_table(tmp_path / "out" / "latents.parquet").to_pylist()}
    assert set(rows) == set(cache)
    for source, latents in cache.items():
        row = rows[source]
        for name, array in latents.arrays.items():
            np.testing.assert_array_equal(np.frombuffer(row[name], row["dtype"]).reshape(row["shape"]), array)
        assert (row["rate"], row["kind"]) == (latents.header.fps, "posterior")


def test_a_missing_pyarrow_is_one_line(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    check_one_line_error(export("parquet", tmp_path, code=2), "needs pyarrow", "pip install")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("kind", ["mindone", "mindrecord"])
def test_codes_among_posteriors_are_refused_and_nothing_half_is_left(cache, tmp_path, kind):
    codes = Latents(replace(HEADER, kind="codes", dtype="int32"), {"codes": np.zeros((1, 3, 12, 8), np.int32)})
    write_latents(tmp_path / "cache" / "z.safetensors", codes)
    check_one_line_error(export(kind, tmp_path, code=2), "'z.safetensors' holds codes")
    assert not list((tmp_path / "out").glob("*.mindrecord*")) + list((tmp_path / "out").glob(".*part*"))


def test_codes_stay_integers(tmp_path):
    codes = np.arange(96, dtype=np.int32).reshape(1, 1, 12, 8)
    header = replace(HEADER, kind="codes", dtype="int32")
    write_latents(tmp_path / "cache" / "a.safetensors", Latents(header, {"codes": codes}))
    export("npz", tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "a.npz")["codes"], codes)
    export("mindrecord", tmp_path)
    (item,) = ds.MindDataset(str(tmp_path / "out" / "latents.mindrecord")).create_dict_iterator(1, True)
    np.testing.assert_array_equal(item["codes"].reshape(item["shape"]), codes)


def test_two_clips_of_one_name_are_refused_for_mindone(cache, tmp_path):
    other = Latents(replace(HEADER, source="sub/a.avi"), posterior(3))
    write_latents(tmp_path / "cache" / "sub" / "a.avi.safetensors", other)
    check_one_line_error(export("mindone", tmp_path, code=2), "sub/a.mp4", "sub/a.avi", "rename")


def test_frames_first_decode_as_ours_do(cache, tmp_path, monkeypatch):
    session = averaging_session(tmp_path / "weights.safetensors")
    given = []

    def kept(*args):
        given.append(list(decode_frames(*args)))
        return iter(given[-1])

    monkeypatch.setattr(decode, "decode_frames", kept)
    ours = tmp_path / "cache" / "sub" / "a.safetensors"
    assert decode_files(session, ours, tmp_path / "ours", Reading(any_weights=True)) == 0
    export("mindone", tmp_path)
    assert decode_files(session, tmp_path / "out" / "sub" / "a.npz", tmp_path / "a", Reading(axes="tchw")) == 0
    mean = cache["sub/a.mp4"].arrays["mean"]
    scaled = session.model.factors.scale(mean).swapaxes(0, 1)
    np.save(tmp_path / "generated.npy", np.stack((scaled, scaled)))  # (B, T, C, H, W), as its pipelines write
    assert decode_files(session, tmp_path / "generated.npy", tmp_path / "b", Reading(True, axes="tchw")) == 0
    assert len(given) == 4
    for frames in given[1:]:  # all six frames of three latent ones, and the last row
        cut = np.stack(frames)[:5, :23]
        assert np.abs(cut.astype(int) - np.stack(given[0])).max() <= (0 if frames is given[1] else 1)
