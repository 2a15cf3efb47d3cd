"""Evaluation of a test set: batches, ranks, what failed, and the files of a report."""

import csv
import json
import os
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT, msrun, run
from listed_clips import evaluated, listed_fixture, session_fixture, wrapped_fixture  # noqa: F401, fixtures
from media import save_nano

from mg.errors import InputError
from mg.inference.clips import find_sources
from mg.inference.options import Options
from mg.inference.reconstruct import Saving, reconstruct
from mg.io.clip import Sampling
from mg.io.image import read_image
from mg.io.video import probe, read_frames
from mg.metrics.choose import choose_metrics
from mg.metrics.metric import PerFrame
from mg.metrics.psnr import psnr
from mg.models.session import Session


def test_each_good_clip_counts_once_and_each_bad_one_is_named(listed, session, tmp_path):
    report = evaluated(listed, session, tmp_path / "out", saving=Saving("none"))
    assert [row["file"] for row in report["clips"]] == ["b.mp4", "a.mp4", "short.mp4", "picture.png", "c.mp4"]
    assert [row["frames"] for row in report["clips"]] == [9, 9, 5, 1, 9]
    assert [row["file"] for row in report["failed"]] == ["missing.mp4", "bad.mp4"]
    assert "no file" in report["failed"][0]["why"]
    values = [row["psnr"] for row in report["clips"]]
    assert report["mean"] == {
        "psnr": pytest.approx(np.mean(values)),
        "ssim": pytest.approx(np.mean([row["ssim"] for row in report["clips"]])),
        "clips": 5,
    }
    assert report["standard_error"]["psnr"] == pytest.approx(np.std(values, ddof=1) / 5**0.5)
    assert report["mean_by_kind"]["image"]["psnr"] == values[3]
    assert report["mean_by_kind"]["video"]["clips"] == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("clips.csv", "curves.png", "frames.csv", "metrics.json"),
    ]
    with open(tmp_path / "out" / "clips.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["psnr"]) for row in rows] == values
    assert [row["fps"] for row in rows] == ["25", "25", "25", "", "25"]
    with open(tmp_path / "out" / "frames.csv") as file:
        frames = [(row["file"], int(row["frame"]), float(row["psnr"])) for row in csv.DictReader(file)]
    assert [frame[:2] for frame in frames[9:18]] == [("a.mp4", index) for index in range(9)]
    assert np.mean([value for name, _, value in frames if name == "a.mp4"]) == pytest.approx(values[1])
    assert read_image(tmp_path / "out" / "curves.png").std() > 10


@pytest.mark.parametrize("sample", [False, True])
def test_a_batch_gives_the_figures_of_single_clips(listed, session, wrapped, tmp_path, sample):
    alone = evaluated(listed, session, tmp_path / "alone", sample=sample, saving=Saving("none"))
    computed = []
    wrapped(lambda decode_tile, z, *more: computed.append(len(z)) or decode_tile(z, *more))
    both = evaluated(listed, session, tmp_path / "both", sample=sample, saving=Saving("none"), batch_size=2)
    # b and a; c; short; the picture: always two are computed
    assert computed == [2, 2, 2, 2]
    assert both["failed"] == alone["failed"]
    assert len(both["clips"]) == 5
    for row, expected in zip(both["clips"], alone["clips"]):
        assert row == {**expected, "psnr": pytest.approx(expected["psnr"], abs=0.02), "ssim": row["ssim"]}
        assert row["ssim"] == pytest.approx(expected["ssim"], abs=1e-3)
    assert both["protocol"]["batch_size"] == 2


def test_spellings_of_a_name_are_one_clip_and_the_folder_must_exist(listed, tmp_path):
    listed["csv_path"].write_text("video\nb.mp4\n./a.mp4\n.//b.mp4\na.mp4\n")
    sources = find_sources(tmp_path / "out", **listed)
    assert [(source.name, source.stem) for source in sources] == [("b.mp4", "b"), ("a.mp4", "a")]
    with pytest.raises(InputError, match="none' is no folder"):
        find_sources(tmp_path / "out", csv_path=listed["csv_path"], video_folder=tmp_path / "none")


def test_a_name_that_is_not_utf_8_is_as_good_as_any(listed, session, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.mp4")
    (folder / name).write_bytes((listed["video_folder"] / "a.mp4").read_bytes())
    report = evaluated({"source": folder}, session, tmp_path / "out", 0)
    assert [row["file"] for row in report["clips"]] == [name]
    for table in ("clips.csv", "frames.csv"):
        assert b"\ncaf\xe9.mp4," in (tmp_path / "out" / table).read_bytes()


def test_what_is_not_finite_in_a_batch_fails_alone(listed, session, wrapped, tmp_path):
    (tmp_path / "list.csv").write_text("video\nb.mp4\na.mp4\nc.mp4\n")
    bad = []

    def poisoned(decode_tile, z, *more):
        frames, state = decode_tile(z, *more)
        bad.append(z[-1].copy())
        frames[[np.array_equal(latents, bad[0]) for latents in z]] = np.nan
        return frames, state

    wrapped(poisoned)
    report = evaluated(listed, session, tmp_path / "out", 1, saving=Saving("none"), batch_size=2)
    assert [row["file"] for row in report["clips"]] == ["b.mp4", "c.mp4"]
    assert [(row["file"], "not finite" in row["why"]) for row in report["failed"]] == [("a.mp4", True)]


def test_folders_and_the_image_model_alone(listed, session, wrapped, tmp_path):
    (tmp_path / "list.csv").write_text("video\nb.mp4\npicture.png\n")
    saving = Saving("side_by_side", folders=True, images=Session(session.model.image_model()))
    report = evaluated(listed, session, tmp_path / "out", 0, saving=saving)
    for ending in ("ori", "rec", "spatial"):
        folder = tmp_path / f"out_{ending}"
        assert sorted(path.name for path in folder.iterdir()) == ["b.mp4", "picture.png"]
        assert probe(folder / "b.mp4").frames == 9
    assert not list((tmp_path / "out").glob("*_recon*"))
    assert (tmp_path / "out" / "b_side_by_side.mp4").exists()
    # of an image, the image model alone is the model
    assert report["clips"][1]["spatial_psnr"] == pytest.approx(report["clips"][1]["psnr"], abs=1e-9)
    assert report["clips"][0]["spatial_psnr"] != report["clips"][0]["psnr"]
    values = [row["spatial_ssim"] for row in report["clips"]]
    assert report["mean"]["spatial_ssim"] == pytest.approx(np.mean(values))
    assert report["standard_error"]["spatial_ssim"] == pytest.approx(abs(values[0] - values[1]) / 2)
    originals, spatial = (list(read_frames(tmp_path / f"out_{part}" / "b.mp4")) for part in ("ori", "spatial"))
    stored = np.mean([psnr(*pair) for pair in zip(originals, spatial)])
    assert report["clips"][0]["spatial_psnr"] == pytest.approx(stored, abs=1.5)  # H.264 in between


def test_originals_are_never_written_over(listed, session, tmp_path):
    folder = listed["video_folder"].rename(tmp_path / "out_ori")
    before = (folder / "a.mp4").read_bytes()
    sources = find_sources(tmp_path / "out", folder / "a.mp4")
    with pytest.raises(InputError, match="name another output folder"):
        reconstruct(session, sources, tmp_path / "out", saving=Saving("none", folders=True))
    assert (folder / "a.mp4").read_bytes() == before
    assert reconstruct(session, sources, tmp_path / "out", saving=Saving("none")) == 0


class Levels:
    """A metric of the whole set: the difference between the mean levels of all frames."""

    name, about = "levels", {"definition": "of the test"}

    def scorer(self):
        return _Levels()

    def distance(self, features):
        original, recon = np.concatenate(list(features), 1)[..., 0]
        return float(original.mean() - recon.mean())


class _Levels:
    def __init__(self):
        self.kept = ([], [])

    def add(self, *pair):
        for levels, frame in zip(self.kept, pair):
            levels.append([frame.mean()])

    def finish(self):
        return np.array(self.kept, np.float32)


def test_metrics_of_a_set_and_metrics_without_a_score(listed, session, tmp_path):
    class Steps(PerFrame):
        def scorer(self):
            scorer = super().scorer()
            finish = scorer.finish
            scorer.finish = lambda: finish()[1:]
            return scorer

    steps = Steps("steps", lambda original, recon: 1.0, "none for the first frame")
    report = evaluated(listed, session, tmp_path / "out", metrics=[steps, Levels()], saving=Saving("none"))
    assert [row["steps"] for row in report["clips"]] == [1, 1, 1, None, 1]
    assert report["mean"]["steps"] == 1
    assert report["set"]["levels"]["features"] == 9 + 9 + 5 + 1 + 9
    assert abs(report["set"]["levels"]["value"]) > 0
    assert "levels" not in report["clips"][0]
    assert report["protocol"]["metrics"]["levels"] == {"definition": "of the test"}
    with open(tmp_path / "out" / "frames.csv") as file:
        first = [row["steps"] for row in csv.DictReader(file)][:3]
    assert first == ["", "1.0", "1.0"]


@pytest.mark.slow
def test_two_ranks_give_the_report_of_one(listed, tmp_path):
    (tmp_path / "list.csv").write_text("video\nb.mp4\nmissing.mp4\na.mp4\nbad.mp4\nc.mp4\n")
    save_nano(tmp_path / "nano.safetensors")
    files = [f"--{name}={path}" for name, path in listed.items()]
    flags = [*files, "--ckpt_path=nano.safetensors", "--num_frames=9", "--image_size", "24", "16", "--save_videos=none"]
    run("scripts/inference_tae.py", *flags, "--output_path=one", cwd=tmp_path, code=2)
    msrun(ROOT / "scripts" / "inference_tae.py", *flags, "--output_path=two", folder=tmp_path, code=2)
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert two.pop("run")["ranks"] == 2
    assert one.pop("run")["ranks"] == 1
    assert one == two
    for name in ("clips.csv", "frames.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert not (tmp_path / "two" / ".scores").exists()


def test_wrong_choices_are_named(listed, session, tmp_path):
    with pytest.raises(InputError, match="batch_size=0"):
        evaluated(listed, session, tmp_path / "out", batch_size=0)
    with pytest.raises(InputError, match="stride=0"):
        Sampling(stride=0)
    for names in (["psnr", "vmaf"], []):
        with pytest.raises(InputError, match="metric="):
            choose_metrics(names)


def test_the_stride_takes_every_so_many_th_frame_at_the_rate_that_goes_with_it(listed, session, tmp_path):
    sources = find_sources(tmp_path / "out", listed["video_folder"] / "a.mp4")
    assert reconstruct(session, sources, tmp_path / "out", Options(Sampling(stride=2, num_frames=4))) == 0
    info = probe(tmp_path / "out" / "a_recon.mp4")
    assert (info.frames, info.fps) == (4, Fraction(25, 2))
