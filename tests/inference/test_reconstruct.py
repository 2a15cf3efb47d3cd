"""Reconstruction of files, in this process, with a nano model."""

import json
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from mindspore import Tensor

from mg.errors import InputError
from mg.files import sha256
from mg.inference import models as models_module
from mg.inference.models import Models
from mg.inference.options import Options
from mg.inference.reconstruct import reconstruct
from mg.inference.round_trip import round_trip
from mg.inference.clips import Clip, Source, find_sources
from mg.io import pixels
from mg.io.image import read_image, write_image
from mg.io.pictures import amplified_difference, contact_sheet, side_by_side
from mg.io.video import probe, read_frames, write_video
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.tiling.stream import Tiles


def moving_frames(count, height=24, width=16):
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)), np.ones((8, 8, 1)))
    return [np.roll(still, index, 1)[:height, :width].astype(np.uint8) for index in range(count)]


def write(path, frames):
    with write_video(path, Fraction(25)) as file:
        for frame in frames:
            file.write(frame)
    return path


class Passing:
    """Stands in for the models: gives back what it is given, 16 frames at a time, and surplus frames at the end."""

    compute_dtype = "fp32"

    def get(self, frames, height, width):
        return self

    def encode_stream(self, clips, seed):
        yield from ((clip, clip, clip) for clip in clips)

    def decode_stream(self, latents):
        latents = list(latents)
        while latents:
            filled = latents[:16] + latents[-1:] * (-len(latents[:16]) % 8)
            yield Tensor(np.concatenate(filled, 2))
            latents = latents[16:]


@pytest.mark.parametrize("count", [1, 5, 16, 17, 33])
def test_every_frame_comes_back_once_in_order(tmp_path, count):
    frames = [np.full((20, 20, 3), index, np.uint8) for index in range(count)]
    clips = [
        Clip(Source(tmp_path, "a", "a"), iter(frames), count, (20, 20), Fraction(24)),
        Clip(Source(tmp_path, "b", "b"), [255 - frame for frame in frames], count, (20, 20), Fraction(24)),
    ]
    pairs = list(round_trip(Passing(), clips, Options(), batch=3))
    assert [original[:, 0, 0, 0].tolist() for original, _ in pairs] == [[n, 255 - n] for n in range(count)]
    assert all(np.array_equal(original, recon) for original, recon in pairs)


def test_tiles_reach_the_model_and_the_report(random_nano, tmp_path):
    random_nano.save(tmp_path / "nano.ckpt")
    clip = write(tmp_path / "a.mp4", moving_frames(20))
    tiles = Tiles(encode_tile=16, decode_tile=16, decode_overlap=8, spatial_tile=16, spatial_overlap=8)
    reconstruct(
        find_sources(tmp_path / "out", clip), tmp_path / "nano.ckpt", tmp_path / "out", options=Options(tiles=tiles)
    )
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["protocol"]["tiles"]["spatial_tile"] == 16
    assert probe(tmp_path / "out" / "a_recon.mp4") == probe(clip)
    frames = pixels.to_clip(np.stack(list(read_frames(clip))))[None]
    tiled = TemporalAutoencoder(pretrained=tmp_path / "nano.ckpt", use_tile=True, **asdict(tiles))
    recon = pixels.to_frames(tiled.decode(tiled.encode(frames)[1], 20).asnumpy()[0])
    expected = np.mean([psnr(*pair) for pair in zip(read_frames(clip), recon)])
    assert report["mean"]["psnr"] == pytest.approx(expected, abs=1e-9)


def test_a_folder_gives_results_for_each_and_names_what_failed(weights, tmp_path):
    source = tmp_path / "in"
    write(source / "clip.mp4", moving_frames(9))
    write_image(source / "sub" / "picture.png", moving_frames(1)[0])
    (source / "broken.mp4").write_text("no video")
    output = source / "out"
    assert reconstruct(find_sources(output, source), weights, output, options=Options(num_frames=8)) == 1
    report = json.loads((output / "metrics.json").read_text())
    assert [(row["kind"], row["frames"]) for row in report["clips"]] == [("video", 8), ("image", 1)]
    assert [row["file"] for row in report["failed"]] == ["broken.mp4"]
    assert report["mean"]["clips"] == 2
    assert report["mean"]["psnr"] == pytest.approx(np.mean([row["psnr"] for row in report["clips"]]))
    info = probe(output / "clip_recon.mp4")
    assert (info.width, info.height, info.frames, info.fps) == (16, 24, 8, 25)
    assert probe(output / "clip_side_by_side.mp4").width == 48
    assert read_image(output / "sub" / "picture_recon.png").shape == (24, 16, 3)
    for name in ("clip_sheet.png", "sub/picture_sheet.png", "sub/picture_side_by_side.png"):
        assert read_image(output / name).std() > 10
    assert not list(output.rglob("*.part*"))
    assert not list(output.rglob("*broken*"))


def test_the_report_says_how_figures_were_made(weights, tmp_path):
    picture = tmp_path / "a.png"
    write_image(picture, moving_frames(1)[0])
    assert reconstruct(find_sources(tmp_path / "mean", picture), weights, tmp_path / "mean") == 0
    protocol = json.loads((tmp_path / "mean" / "metrics.json").read_text())["protocol"]
    assert protocol["latents"] == "mean of the posterior"
    assert protocol["weights_sha256"] == sha256(weights)
    assert protocol["config"]["ch"] == 8
    assert protocol["dtype"].startswith("auto")
    results = {}
    for seed in (0, 0, 1):
        reconstruct(
            find_sources(tmp_path / "sample", picture),
            weights,
            tmp_path / "sample",
            options=Options(sample=True, seed=seed),
        )
        report = json.loads((tmp_path / "sample" / "metrics.json").read_text())
        assert report["protocol"]["latents"] == "sample of the posterior"
        results.setdefault(seed, []).append(report["mean"]["psnr"])
    assert results[0][0] == results[0][1] != results[1][0]


def test_figures_are_of_the_files_that_were_written(weights, tmp_path):
    picture = tmp_path / "a.png"
    write_image(picture, moving_frames(1)[0])
    reconstruct(find_sources(tmp_path / "out", picture), weights, tmp_path / "out")
    recon = read_image(tmp_path / "out" / "a_recon.png")
    row = json.loads((tmp_path / "out" / "metrics.json").read_text())["clips"][0]
    assert row["psnr"] == psnr(read_image(picture), recon)
    assert row["ssim"] == ssim(read_image(picture), recon)


def test_an_image_size_crops_and_names_stay_apart(weights, tmp_path):
    source = tmp_path / "in"
    for name in ("a.png", "a.bmp", "a_png.bmp", "a.png.bmp"):
        write_image(source / name, moving_frames(1, 48, 40)[0])
    reconstruct(find_sources(tmp_path / "out", source), weights, tmp_path / "out", options=Options(image_size=(24, 16)))
    written = sorted(path.name for path in (tmp_path / "out").glob("*_recon.png"))
    assert written == ["a.bmp_recon.png", "a.png.bmp_recon.png", "a.png_recon.png", "a_png.bmp_recon.png"]
    assert read_image(tmp_path / "out" / "a.png_recon.png").shape == (24, 16, 3)


def test_one_graph_each_way_serves_tiles_of_clips_of_any_length(random_nano, tmp_path):
    random_nano.save(tmp_path / "nano.ckpt")
    tiles = Tiles(encode_tile=8, decode_tile=16, decode_overlap=8, spatial_tile=16, spatial_overlap=8)
    for frames in (40, 41, 100):
        write(tmp_path / "in" / f"{frames}.mp4", moving_frames(frames, 32, 24))
    reconstruct(
        find_sources(tmp_path / "out", tmp_path / "in"),
        tmp_path / "nano.ckpt",
        tmp_path / "out",
        options=Options(tiles=tiles),
    )
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert sorted(row["frames"] for row in report["clips"]) == [40, 41, 100]
    assert report["run"]["graphs_compiled"] == 2


def test_a_model_serves_one_shape_at_a_time(weights, monkeypatch, random_nano):
    built = []
    monkeypatch.setattr(
        models_module, "TemporalAutoencoder", lambda pretrained, dtype, **tiles: built.append(tiles) or random_nano
    )
    models = Models(weights, "fp32", None)
    for size in ((9, 16, 16), (9, 16, 16), (200, 16, 24), (300, 16, 24), (9, 1080, 1920)):
        models.get(*size)
    chosen = [(tiles["encode_tile"], tiles["spatial_tile"]) for tiles in built[1:]]
    assert chosen == [(4096, 16), (2728, 24), (2728, 24), (8, 1920)]


def test_weights_that_vanish_midway_are_an_error_for_each_input(random_nano, tmp_path):
    path = tmp_path / "nano.safetensors"
    random_nano.save(path)
    models = Models(path, "fp32", None)
    path.unlink()
    for _ in range(2):
        with pytest.raises(InputError, match="no file"):
            models.get(9, 16, 16)
    assert models.config["ch"] == 8


def test_a_broken_single_file_stops_and_leaves_no_result(weights, tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8))
    clip = write(tmp_path / "a.mp4", noise)
    clip.write_bytes(clip.read_bytes()[:-3000])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text("of an earlier run")
    with pytest.raises(InputError, match="no file"):
        reconstruct(find_sources(tmp_path / "out", tmp_path / "none.png"), weights, tmp_path / "out")
    assert (tmp_path / "out" / "metrics.json").exists()
    with pytest.raises(InputError, match="truncated"):
        reconstruct(find_sources(tmp_path / "out", clip), weights, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_not_finite_is_not_scored(weights, tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", moving_frames(1)[0])
    frames = np.full((1, 3, 8, 24, 16), np.nan)
    monkeypatch.setattr(
        models_module.TemporalAutoencoder(weights, "fp32"), "decode_tile", lambda z, *more: (frames, None)
    )
    with pytest.raises(InputError, match="not finite"):
        reconstruct(find_sources(tmp_path / "out", tmp_path / "a.png"), weights, tmp_path / "out")


def test_too_small_frames_are_refused_with_a_remedy(weights, tmp_path):
    write_image(tmp_path / "a.png", moving_frames(1, 15, 40)[0])
    with pytest.raises(InputError, match="--image_size"):
        reconstruct(find_sources(tmp_path / "out", tmp_path / "a.png"), weights, tmp_path / "out")


@pytest.mark.parametrize(
    "options",
    [{"num_frames": 0}, {"num_frames": 10**30}, {"image_size": (15, 64)}, {"image_size": (64, 10**9)}, {"seed": -1}],
)
def test_bad_options_are_named(options):
    with pytest.raises(InputError, match=next(iter(options))):
        Options(**options)


def test_pictures():
    dark, light = np.full((5, 7, 3), 10, np.uint8), np.full((5, 7, 3), 30, np.uint8)
    assert (amplified_difference(dark, light) == 80).all()
    assert (amplified_difference(light, np.full_like(light, 200)) == 255).all()
    row = side_by_side(dark, light)
    assert row.shape == (6, 22, 3)
    assert row[0, [0, 7, 14], 0].tolist() == [10, 30, 80]
    large = [np.full((100, 300, 3), level, np.uint8) for level in (0, 200)]
    sheet = contact_sheet("title", ["a", "b"], [tuple(large), tuple(large)])
    assert sheet.shape[1] == 8 + 2 * (256 + 8)
    assert {0, 200, 255} <= set(np.unique(sheet))
