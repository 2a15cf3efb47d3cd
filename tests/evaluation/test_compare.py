"""Two folders of clips against each other."""

import json
from fractions import Fraction

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error

from mg.evaluation.compare import compare
from mg.io.clip import Sampling
from mg.io.image import write_image
from mg.io.video import read_frames, write_video
from mg.metrics.choose import choose_metrics
from mg.metrics.psnr import psnr


def scene(count, height=40, width=48, noise=0.0):
    rng = np.random.default_rng(0)
    still = np.kron(rng.integers(0, 256, (height // 8, width // 8, 3)), np.ones((8, 8, 1)))
    moved = (np.roll(still, index, 1) + noise * rng.standard_normal(still.shape) for index in range(count))
    return [np.clip(frame, 0, 255).astype(np.uint8) for frame in moved]


def write(path, frames, fps=Fraction(24)):
    with write_video(path, fps) as file:
        for frame in frames:
            file.write(frame)


@pytest.fixture
def folders(tmp_path):
    for folder, noise in (("real", 0), ("made", 30)):
        write(tmp_path / folder / "sub" / "a.mp4", scene(9, noise=noise))
        write_image(tmp_path / folder / "still.png", scene(1, noise=noise)[0])
    return tmp_path / "real", tmp_path / "made"


def compared(folders, output, code=0, **sampling):
    assert compare(*folders, output, choose_metrics(("psnr", "ssim")), Sampling(**sampling)) == code
    return json.loads((output / "metrics.json").read_text())


def test_folders_are_compared_by_name(folders, tmp_path):
    report = compared(folders, tmp_path / "out")
    assert [(row["file"], row["kind"], row["frames"]) for row in report["clips"]] == [
        ("still", "image", 1),
        ("sub/a", "video", 9),
    ]
    pairs = zip(*(read_frames(folder / "sub" / "a.mp4") for folder in folders))
    assert report["clips"][1]["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]), abs=1e-12)
    assert report["mean"]["clips"] == 2
    same = compared((folders[0], folders[0]), tmp_path / "same")
    assert (same["mean"]["psnr"], same["mean"]["ssim"]) == (100, pytest.approx(1))


def test_sampling_chooses_frames_and_sizes(folders, tmp_path):
    sampling = {"sample_fps": Fraction(12), "stride": 2, "num_frames": 2, "resolution": 32, "crop_size": 24}
    report = compared(folders, tmp_path / "out", **sampling)
    row = report["clips"][1]
    assert (row["frames"], row["width"], row["height"]) == (2, 24, 24)
    sized = [[Sampling(**sampling).sized(frame) for frame in read_frames(f / "sub" / "a.mp4")] for f in folders]
    expected = np.mean([psnr(sized[0][index], sized[1][index]) for index in (0, 4)])
    assert row["psnr"] == pytest.approx(expected, abs=1e-12)
    assert report["protocol"]["options"]["sample_fps"] == "12"


def test_what_cannot_be_compared_is_named(folders, tmp_path):
    real, made = folders
    write(real / "longer.mp4", scene(9))
    write(made / "longer.mp4", scene(7))
    write(real / "smaller.mp4", scene(3))
    write(made / "smaller.mp4", scene(3, 32, 48))
    write(real / "alone.mp4", scene(3))
    write(real / "broken.mp4", scene(3))
    (made / "broken.mp4").write_text("no video")
    report = compared(folders, tmp_path / "out", 4)
    assert {row["file"]: row["why"].split("'")[-1] for row in report["failed"]} == {
        "alone": "",
        "broken": report["failed"][1]["why"].split("'")[-1],
        "longer": " ends after 7 frames, and its partner does not; use --num_frames",
        "smaller": "the sizes of the frames differ: 48x40 and 48x32; use --resolution and --crop_size",
    }
    assert "no clip of that name" in report["failed"][0]["why"]
    assert report["mean"]["clips"] == 2
    assert compared(folders, tmp_path / "out", 3, num_frames=7)["mean"]["clips"] == 3


def test_the_script(folders, tmp_path):
    real, made = folders
    both = ("--real_video_dir", real, "--generated_video_dir", made)
    flags = ("--metric", "ssim", "psnr", "--batch_size", 2, "--sample_fps", 24, "--crop_size", 32, "--resolution", 32)
    more = ("--num_frames", 5, "--sample_rate", 1, "--device", "CPU")
    call_script("scripts/compare.py", *both, *flags, *more, cwd=tmp_path)
    report = json.loads((tmp_path / "samples" / "evaluation" / "metrics.json").read_text())
    assert [row["frames"] for row in report["clips"]] == [1, 5]
    assert list(report["mean"]) == ["ssim", "psnr", "clips"]
    (tmp_path / "empty").mkdir()
    done = call_script("scripts/compare.py", *both[:3], tmp_path / "empty", cwd=tmp_path, code=2)
    check_one_line_error(done, "holds no media")
