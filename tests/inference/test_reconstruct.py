"""Reconstruction of files, in this process, with a model of two levels."""

import json
from fractions import Fraction

import numpy as np
import pytest
from averages import averaging_session
from media import moving_frames, write_clip

from mg.errors import InputError
from mg.evaluation.round_trip import round_trip
from mg.files import sha256
from mg.inference.clips import find_sources
from mg.inference.options import Options
from mg.inference.reconstruct import Saving, reconstruct
from mg.io import pixels
from mg.io.clip import Clip, Sampling
from mg.io.image import read_image, write_image
from mg.io.pictures import amplified_difference, contact_sheet, side_by_side
from mg.io.video import probe, read_frames
from mg.metrics.metric import PerFrame
from mg.metrics.psnr import psnr
from mg.metrics.ssim import ssim
from mg.models import families
from mg.models.latents import Gaussian
from mg.models.session import Session
from mg.models.tae.tae import TemporalAutoencoder

TILES = {"encode_tile": 4, "encode_context": 2, "decode_tile": 4, "decode_overlap": 2}
TILES.update(spatial_tile=16, spatial_overlap=8)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A model at work that compiles nothing."""
    return averaging_session(tmp_path_factory.mktemp("weights") / "nano.safetensors")


@pytest.fixture(scope="module")
def tiled(session):
    """A model with networks, in small tiles."""
    return Session(families.load(session.model.weights_path, **TILES))


def reconstructed(session, source, output, code=0, **options):
    """The report of a file or folder."""
    assert reconstruct(session, find_sources(output, source), output, Options(**options)) == code
    return json.loads((output / "metrics.json").read_text())


class Passing:
    """Stands in for a session: gives back what it is given, 16 frames at a time, and surplus frames at the end."""

    class model:
        latents = Gaussian()

    def prepare(self, frames, height, width):
        return False

    def encode(self, clips):
        yield from (np.concatenate((clip, clip), 1) for clip in clips)

    def decode(self, latents, frames):
        latents = list(latents)
        while latents:
            yield np.concatenate(latents[:16] + latents[-1:] * (-len(latents[:16]) % 8), 2)
            latents = latents[16:]


@pytest.mark.parametrize("count", [1, 5, 16, 17, 33])
def test_every_frame_comes_back_once_in_order(tmp_path, count):
    frames = [np.full((20, 20, 3), index, np.uint8) for index in range(count)]
    clips = [
        Clip(tmp_path / "a", iter(frames), (20, 20), count, count, Fraction(24)),
        Clip(tmp_path / "b", [255 - frame for frame in frames], (20, 20), count, count, Fraction(24)),
    ]
    pairs = list(round_trip(Passing(), clips, batch=3))
    assert [original[:, 0, 0, 0].tolist() for original, _ in pairs] == [[n, 255 - n] for n in range(count)]
    assert all(np.array_equal(original, recon) for original, recon in pairs)


def test_tiles_reach_the_model_and_the_report(tiled, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", moving_frames(9))
    report = reconstructed(tiled, clip, tmp_path / "out")
    assert report["protocol"]["tiles"]["spatial_tile"] == 16
    assert probe(tmp_path / "out" / "a_recon.mp4") == probe(clip)
    frames = pixels.to_clip(np.stack(list(read_frames(clip))))[None]
    model = tiled.model
    recon = pixels.to_frames(model.decode(model.encode(frames)[1], 9).asnumpy()[0])
    expected = np.mean([psnr(*pair) for pair in zip(read_frames(clip), recon)])
    assert report["mean"]["psnr"] == pytest.approx(expected, abs=1e-9)


def test_one_graph_each_way_serves_tiles_of_clips_of_any_length(tiled, tmp_path):
    for frames in (10, 11, 25):
        write_clip(tmp_path / "in" / f"{frames}.mp4", moving_frames(frames))
    report = reconstructed(tiled, tmp_path / "in", tmp_path / "out")
    assert sorted(row["frames"] for row in report["clips"]) == [10, 11, 25]
    assert report["run"]["graphs_compiled"] == 2


def test_a_folder_gives_results_for_each_and_names_what_failed(session, tmp_path):
    source = tmp_path / "in"
    write_clip(source / "clip.mp4", moving_frames(9))
    write_image(source / "sub" / "picture.png", moving_frames(1)[0])
    (source / "broken.mp4").write_text("no video")
    output = source / "out"
    report = reconstructed(session, source, output, 1, sampling=Sampling(num_frames=8))
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


def test_the_report_says_how_figures_were_made(session, tmp_path):
    picture = tmp_path / "a.png"
    write_image(picture, moving_frames(1)[0])
    protocol = reconstructed(session, picture, tmp_path / "mean")["protocol"]
    assert protocol["latents"].startswith("the likeliest: the mean of a posterior")
    assert protocol["weights_sha256"] == sha256(session.model.weights_path)
    assert protocol["config"]["ch"] == 8
    assert protocol["family"] == "tae"
    assert protocol["dtype"] == "Float32"
    results = {}
    for seed in (0, 0, 1):
        report = reconstructed(session, picture, tmp_path / "sample", sample=True, seed=seed)
        assert report["protocol"]["latents"] == "a sample"
        results.setdefault(seed, []).append(report["mean"]["psnr"])
    assert results[0][0] == results[0][1] != results[1][0]


def test_figures_are_of_the_files_that_were_written(session, tmp_path):
    picture = tmp_path / "a.png"
    write_image(picture, moving_frames(1)[0])
    row = reconstructed(session, picture, tmp_path / "out")["clips"][0]
    recon = read_image(tmp_path / "out" / "a_recon.png")
    assert row["psnr"] == psnr(read_image(picture), recon)
    assert row["ssim"] == ssim(read_image(picture), recon)


def test_an_image_size_crops_and_names_stay_apart(session, tmp_path):
    source = tmp_path / "in"
    for name in ("a.png", "a.bmp", "a_png.bmp", "a.png.bmp"):
        write_image(source / name, moving_frames(1, 48, 40)[0])
    reconstructed(session, source, tmp_path / "out", sampling=Sampling(image_size=(24, 16)))
    written = sorted(path.name for path in (tmp_path / "out").glob("*_recon.png"))
    assert written == ["a.bmp_recon.png", "a.png.bmp_recon.png", "a.png_recon.png", "a_png.bmp_recon.png"]
    assert read_image(tmp_path / "out" / "a.png_recon.png").shape == (24, 16, 3)


def test_a_session_serves_one_shape_at_a_time(weights):
    session = Session(TemporalAutoencoder(pretrained=weights), use_tile=False)
    released, chosen = [], []
    session.model.release_graphs = lambda: released.append(True)
    for size in ((9, 16, 16), (9, 16, 16), (200, 16, 24), (300, 16, 24), (9, 1080, 1920)):
        session.prepare(*size)
        tiles = session.model.tiles
        chosen.append((len(released), tiles.encode_tile, tiles.decode_tile, tiles.spatial_tile))
    # as many frames as have some 16 x 256 x 256 pixels, a whole number of latent ones
    assert chosen == [
        *[(1, 4096, 4096, 16)] * 2,
        (2, 2730, 2730, 24),
        (3, 2730, 2730, 24),
        (4, 2, 2, 1920),
    ]


def test_in_tiles_clips_of_all_lengths_and_sizes_beyond_a_tile_are_one_shape(tiled):
    """A tile is 4 frames, with its context 8."""
    shapes = {tiled.shape_of(*size) for size in ((9, 24, 24), (300, 17, 200), (7, 1080, 1920))}
    assert len(shapes) == 1
    assert len({tiled.shape_of(frames, 24, 24) for frames in (3, 4, 6)} | shapes) == 3  # 3 are filled up to 4


def test_weights_that_vanish_midway_do_not_matter(session, tmp_path, monkeypatch):
    path = tmp_path / "nano.safetensors"
    path.write_bytes(session.model.weights_path.read_bytes())
    monkeypatch.setattr(session.model, "weights_path", path)
    write_image(tmp_path / "a.png", moving_frames(1)[0])
    gone = PerFrame("gone", lambda *frames: path.unlink() or 1.0, "of the test")
    reconstruct(session, find_sources(tmp_path / "out", tmp_path / "a.png"), tmp_path / "out", metrics=[gone])
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["mean"]["gone"] == 1
    assert report["protocol"]["weights"] == "nano.safetensors"
    for _ in range(2):
        with pytest.raises(InputError, match="no file"):
            families.load(path)
    assert session.model.config["ch"] == 8


def test_a_broken_single_file_stops_and_leaves_no_result(session, tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8))
    clip = write_clip(tmp_path / "a.mp4", noise)
    clip.write_bytes(clip.read_bytes()[:-3000])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.json").write_text("of an earlier run")
    with pytest.raises(InputError, match="no file"):
        reconstruct(session, find_sources(tmp_path / "out", tmp_path / "none.png"), tmp_path / "out")
    assert (tmp_path / "out" / "metrics.json").exists()
    with pytest.raises(InputError, match="cut off"):
        reconstruct(session, find_sources(tmp_path / "out", clip), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_not_finite_is_not_scored(session, tmp_path, monkeypatch):
    write_image(tmp_path / "a.png", moving_frames(1)[0])
    frames = np.full((1, 3, 2, 24, 16), np.nan, np.float32)
    monkeypatch.setattr(session.model, "decode_tile", lambda *args: (frames, None), raising=False)
    with pytest.raises(InputError, match="not finite"):
        reconstruct(session, find_sources(tmp_path / "out", tmp_path / "a.png"), tmp_path / "out")


def test_too_small_frames_are_refused_with_a_remedy(session, tmp_path):
    write_image(tmp_path / "a.png", moving_frames(1, 15, 40)[0])
    with pytest.raises(InputError, match="--image_size"):
        reconstruct(session, find_sources(tmp_path / "out", tmp_path / "a.png"), tmp_path / "out")


@pytest.mark.parametrize(
    "options",
    [{"num_frames": 0}, {"num_frames": 10**30}, {"image_size": (15, 64)}, {"image_size": (64, 10**9)}, {"seed": -1}],
)
def test_bad_options_are_named(options):
    seed = {"seed": options.pop("seed")} if "seed" in options else {}
    with pytest.raises(InputError, match=next(iter({**options, **seed}))):
        Options(Sampling(**options), **seed)


def test_unknown_choices_of_what_is_saved_are_named():
    with pytest.raises(InputError, match="save_videos='some'"):
        Saving("some")


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
