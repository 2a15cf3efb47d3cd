"""Files to latents and back, in this process, with a model of two levels."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from averages import averaging_session
from caches import FRAMES, SAMPLE, encoded, model_fixture, session_fixture, source_fixture  # noqa: F401, fixtures
from calls import call_script
from conftest import check_one_line_error
from media import moving_frames, save_nano

from mg.errors import InputError
from mg.files import sha256
from mg.inference import encode
from mg.inference.clips import find_sources
from mg.inference.decode import Reading, decode_files, decode_frames
from mg.inference.encode import Storing, encode_files
from mg.inference.options import Options
from mg.io import pixels
from mg.io.clip import Sampling
from mg.io.image import read_image, write_image
from mg.io.latent_index import read_index
from mg.io.latents import read_header, read_latents
from mg.io.video import probe, read_frames
from mg.models.session import Session


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_what_the_api_gives_exactly(session, model, source, tmp_path):
    assert encoded(source, tmp_path / "cache", session) == 0
    latents = read_latents(tmp_path / "cache" / "a.safetensors")
    frames = np.stack(list(read_frames(source / "a.mp4")))
    session.prepare(*frames.shape[:3])
    _, mean, logvar = model.encode(pixels.to_clip(frames)[None], seed=0)
    np.testing.assert_array_equal(latents.arrays["mean"], mean.asnumpy()[0])
    np.testing.assert_allclose(latents.arrays["std"], np.exp(logvar.asnumpy()[0] / 2), rtol=1e-6)
    recon = pixels.to_frames(model.decode(mean, FRAMES).asnumpy()[0, :, :, :23, :16])
    from_file = np.stack(list(decode_frames(session, latents.arrays["mean"], (FRAMES, 23, 16))))
    np.testing.assert_array_equal(from_file, recon)
    assert decode_files(session, tmp_path / "cache", tmp_path / "out") == 0
    for name in ("a", "sub/b"):
        assert probe(tmp_path / "out" / f"{name}.mp4") == probe(source / f"{name}.mp4")
    # H.264 changes little of what it is given
    written = np.stack(list(read_frames(tmp_path / "out" / "a.mp4")))
    assert np.abs(written.astype(int) - recon).mean() < 12
    picture = read_image(source / "c.png")[None]
    session.prepare(*picture.shape[:3])
    mean = model.encode(pixels.to_clip(picture)[None])[1]
    recon = pixels.to_frames(model.decode(mean, 1).asnumpy()[0, :, :, :23, :16])
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "c.png"), recon[0])


def test_headers_and_index_record_what_was_encoded(session, model, source, tmp_path):
    encoded(source, tmp_path / "cache", session, num_frames=1, image_size=(24, 16))
    header, shape = read_header(tmp_path / "cache" / "sub" / "b.safetensors")
    assert (header.frames, header.height, header.width, header.fps) == (1, 24, 16, "30000/1001")
    assert (header.source, header.kind, header.dtype) == ("sub/b.mp4", "posterior", "fp32")
    assert (header.model, header.tiles) == (model.family, asdict(session.tiles))
    assert header.options["num_frames"] == 1
    assert header.weights_sha256 == sha256(model.weights_path)
    assert header.scaling_factor == model.config["scaling_factor"]
    assert shape == (4, 1, 12, 8)
    rows = read_index(tmp_path / "cache")
    assert [(row["file"], row["frames"], row["fps"]) for row in rows] == [
        ("a.safetensors", 1, "25"),
        ("c.safetensors", 1, None),
        ("sub/b.safetensors", 1, "30000/1001"),
    ]
    assert [row["shape"] for row in rows] == [[4, 1, 12, 8]] * 3


def test_a_run_stopped_midway_goes_on_to_the_same_cache(session, source, tmp_path, monkeypatch):
    encoded(source, tmp_path / "whole", session, SAMPLE, num_frames=1)
    write = encode.write_latents

    def stop_at_the_second(path, latents):
        if (cache / "a.safetensors").exists():
            (cache / ".0123.part.safetensors").write_bytes(b"half")  # what SIGKILL leaves
            raise KeyboardInterrupt
        write(path, latents)

    cache = tmp_path / "cache"
    monkeypatch.setattr(encode, "write_latents", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        encoded(source, cache, session, SAMPLE, num_frames=1)
    assert not (cache / "index.json").exists()
    before = (cache / "a.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(encode, "write_latents", write)
    assert encoded(source, cache, session, SAMPLE, num_frames=1) == 0
    assert (cache / "a.safetensors").stat().st_mtime_ns == before
    (cache / ".0123.part.safetensors").unlink()
    assert content(cache) == content(tmp_path / "whole")


def test_samples_are_of_their_seed_and_clip(session, source, tmp_path):
    (source / "sub" / "b.mp4").write_bytes((source / "a.mp4").read_bytes())
    z = {}
    for seed in (0, 1):
        encoded(source, tmp_path / str(seed), session, SAMPLE, seed, num_frames=1)
        for name in ("a", "sub/b"):
            z[seed, name] = read_latents(tmp_path / str(seed) / f"{name}.safetensors").arrays["z"]
    assert len({values.tobytes() for values in z.values()}) == 4


def test_ranks_share_the_clips_and_make_the_same_files(session, source, tmp_path, monkeypatch):
    encoded(source, tmp_path / "one", session, num_frames=1)
    monkeypatch.setattr(encode, "total", lambda count, ranks: count)
    sources, options = find_sources(tmp_path / "two", source), Options(Sampling(num_frames=1))
    for rank, expected in ((1, {"c.safetensors"}), (0, None)):
        encode_files(session, sources, tmp_path / "two", options, place=(rank, 2))
        assert expected in (None, set(content(tmp_path / "two")))
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_a_rank_refuses_what_another_rank_would_find(session, source, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "total", lambda count, ranks: count)
    cache = tmp_path / "cache"
    encoded(source / "c.png", cache, session)
    sources = find_sources(cache, source)  # a, c, sub/b: c is not of rank 0
    with pytest.raises(InputError, match="num_frames"):
        encode_files(session, sources, cache, Options(Sampling(num_frames=1)), place=(0, 2))
    assert not (cache / "a.safetensors").exists()


def test_other_weights_or_options_are_refused_unless_to_overwrite(session, source, tmp_path):
    cache = tmp_path / "cache"
    encoded(source, cache, session, num_frames=1)
    first = content(cache)
    other = averaging_session(tmp_path / "weights" / "other.safetensors", seed=1)
    whole = Session(session.model, use_tile=False)
    hashes = [sha256(one.model.weights_path) for one in (session, other)]
    for who, storing, frames in (
        (other, Storing(), 1),
        (whole, Storing(), 1),
        (session, Storing(), 3),
        (session, SAMPLE, 1),
    ):
        with pytest.raises(InputError, match="--overwrite") as error:
            encoded(source, cache, who, storing, num_frames=frames)
        assert all(sha in str(error.value) for sha in hashes) == (who is other)
    assert content(cache) == first
    with pytest.raises(InputError, match="--any_weights") as error:
        decode_files(other, cache, tmp_path / "out")
    assert all(sha in str(error.value) for sha in hashes)
    assert not (tmp_path / "out").exists()
    assert decode_files(other, cache, tmp_path / "out", Reading(any_weights=True)) == 0
    assert encoded(source, cache, other, Storing(overwrite=True), num_frames=1) == 0
    assert read_header(cache / "a.safetensors")[0].weights_sha256 == hashes[1]


@pytest.mark.parametrize("dtype_out, close", [("fp16", 1e-3), ("bf16", 8e-3)])
def test_smaller_types_are_smaller_and_close(session, source, tmp_path, dtype_out, close):
    for name in ("fp32", dtype_out):
        encoded(source / "c.png", tmp_path / name, session, Storing(dtype=name))
    files = [tmp_path / name / "c.safetensors" for name in ("fp32", dtype_out)]
    exact, rounded = (read_latents(file).arrays["mean"] for file in files)
    np.testing.assert_allclose(rounded, exact, rtol=close, atol=1e-6)
    assert not np.array_equal(rounded, exact)
    assert files[1].stat().st_size < files[0].stat().st_size


def test_a_corrupt_clip_is_named_and_the_others_are_encoded(session, source, tmp_path):
    (source / "bad.mp4").write_text("no video")
    (tmp_path / "list.csv").write_text("video\nbad.mp4\nsub/b.mp4\nmissing.mp4\na.mp4\n")
    cache = tmp_path / "cache"
    sources = find_sources(cache, csv_path=tmp_path / "list.csv", video_folder=source)
    assert encode_files(session, sources, cache, Options(Sampling(num_frames=1))) == 2
    assert [row["file"] for row in json.loads((cache / "failed.json").read_text())] == ["bad.mp4", "missing.mp4"]
    assert [row["source"] for row in read_index(cache)] == ["a.mp4", "sub/b.mp4"]
    (cache / "a.safetensors").write_bytes(b"damaged, and longer than eight bytes")
    assert decode_files(session, cache, tmp_path / "out") == 1
    assert "a.safetensors" in (tmp_path / "out" / "failed.json").read_text()
    with pytest.raises(InputError, match="damaged"):
        decode_files(session, cache / "a.safetensors", tmp_path / "out")
    with pytest.raises(InputError, match="cannot be read as a video"):
        encoded(source / "bad.mp4", tmp_path / "single", session)


def test_a_later_run_forgets_what_failed_in_an_earlier_one(session, source, tmp_path, monkeypatch):
    monkeypatch.setattr(encode, "total", lambda count, ranks: count)
    good = (source / "c.png").read_bytes()
    (source / "c.png").write_text("no image")
    sources, cache = find_sources(tmp_path / "cache", source), tmp_path / "cache"
    options = Options(Sampling(num_frames=1))
    assert encode_files(session, sources, cache, options, place=(1, 2)) == 1
    assert (cache / "failed_rank1.json").exists()
    (source / "c.png").write_bytes(good)
    assert encode_files(session, sources, cache, options) == 0
    assert not list(cache.glob("failed*"))


def test_no_clip_is_in_a_cache_under_two_names(session, source, tmp_path):
    encoded(source, tmp_path / "cache", session, num_frames=1)
    before = content(tmp_path / "cache")
    write_image(source / "a.png", moving_frames(1)[0])
    with pytest.raises(InputError, match="remove it, or name another folder") as error:
        encoded(source, tmp_path / "cache", session, num_frames=1)
    assert "a.safetensors" in str(error.value)
    assert "a.mp4.safetensors" in str(error.value)
    assert content(tmp_path / "cache") == before


def test_names_stay_apart_and_inside(tmp_path):
    for name in ("a.png", "a.mp4", "b.mp4"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    stems = [source.stem for source in find_sources(tmp_path / "out", tmp_path / "in")]
    assert stems == ["a.mp4", "a.png", "b.mp4"]
    (tmp_path / "in" / "a.mp4").unlink()
    assert [source.stem for source in find_sources(tmp_path / "out", tmp_path / "in")] == ["a", "b"]
    (tmp_path / "list.csv").write_text("video\n../in/a.mp4\n")
    with pytest.raises(InputError, match="not below"):
        find_sources(tmp_path / "out", csv_path=tmp_path / "list.csv", video_folder=tmp_path / "in")
    for arguments in ({}, {"source": "x", "video_folder": "y"}, {"csv_path": "x"}):
        with pytest.raises(InputError, match="--video_folder"):
            find_sources(tmp_path / "out", **arguments)


def test_tiles_are_recorded_and_used(session, source, tmp_path, monkeypatch):
    sizes = {"encode_tile": 4, "encode_context": 2, "decode_tile": 4, "decode_overlap": 0}
    tiled = averaging_session(tmp_path / "nano.safetensors", **sizes, spatial_tile=16, spatial_overlap=8)
    shapes, encode_tile = [], tiled.model.encode_tile
    monkeypatch.setattr(
        tiled.model, "encode_tile", lambda x, *more: shapes.append(x.shape[2:]) or encode_tile(x, *more), raising=False
    )
    encoded(source / "a.mp4", tmp_path / "cache", tiled)
    assert set(shapes) == {(8, 16, 16)}
    assert len(shapes) == 2 * 2  # nine frames and 23 rows
    latents = read_latents(tmp_path / "cache" / "a.safetensors")
    assert latents.header.tiles["encode_tile"] == 4
    frames = pixels.to_clip(np.stack(list(read_frames(source / "a.mp4"))))[None]
    np.testing.assert_array_equal(latents.arrays["mean"], tiled.model.encode(frames)[1].asnumpy()[0])


def test_the_scripts_take_their_flags(source, tmp_path, uncompiled):
    weights = save_nano(tmp_path / "nano.safetensors")
    (tmp_path / "list.csv").write_text("video\na.mp4\nc.png\n")
    files = ("--csv_path", "list.csv", "--video_folder", source, "--ckpt_path", weights)
    kind = ("--kind", "sample", "--seed", 3, "--dtype_out", "bf16", "--num_frames", FRAMES)
    once = ("--mode", "pynative")  # cheaper than to compile
    call_script("scripts/encode.py", *files, *kind, *once, "--output_path", "cache", cwd=tmp_path)
    header, _ = read_header(tmp_path / "cache" / "c.safetensors")
    assert (header.kind, header.dtype, header.options["seed"]) == ("sample", "bf16", 3)
    results = ("--output_path", tmp_path / "out", "--ckpt_path", weights)
    call_script("scripts/decode.py", "--input", "cache", *results, *once, cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "c.png"]
    assert probe(tmp_path / "out" / "a.mp4") == probe(source / "a.mp4")


@pytest.mark.parametrize(
    "script, arguments, words",
    [
        ("encode.py", ("--output_path", "x"), "give either --input"),
        ("encode.py", ("--input", "none", "--output_path", "x"), "no file or folder"),
        ("encode.py", ("--input", "none"), "--output_path"),
        ("encode.py", ("--input", "in", "--output_path", "in"), "results cannot go to"),
        ("encode.py", ("--input", "in", "--output_path", "x", "--dtype_out", "fp8"), "fp8"),
        ("encode.py", ("--input", "in", "--output_path", "x", "--kind", "codes"), "nothing that tae gives"),
        ("decode.py", ("--input", "none.npy"), "no file"),
        ("decode.py", ("--input", "in"), "holds no latents"),
        ("decode.py", ("--input", "in", "--fps", "1/0"), "no frame rate"),
        ("decode.py", ("--input", "in", "--fps", "-1"), "fps=-1 must be positive"),
    ],
)
def test_wrong_arguments_are_one_line(source, tmp_path, script, arguments, words):
    done = call_script(f"scripts/{script}", *arguments, cwd=tmp_path, code=2)
    check_one_line_error(done, words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
