"""Every real clip and image through the script, with the shipped weights."""

import json

import pytest
from conftest import run

from mg.io.image import read_image
from mg.io.video import probe

pytestmark = pytest.mark.slow
SCRIPT = "scripts/inference_tae.py"
FULL_LENGTH = (
    "pigs_314x273.gif",
    "rot90_568x320.mov",
    "vidtok_256x256.mp4",
    "derived_stream_320x240_xvid.avi",
    "derived_flower_427x241_vp9.webm",
)


def report_of(output):
    report = json.loads((output / "metrics.json").read_text())
    assert report["failed"] == []
    return report


def test_every_clip_at_33_frames_and_256_pixels(shared, tmp_path):
    clips = shared / "data" / "clips"
    run(SCRIPT, "--input", clips, "--num_frames", "33", "--image_size", "256", "--output_path", "out", cwd=tmp_path)
    sources = sorted(clips.iterdir())
    assert report_of(tmp_path / "out")["mean"]["clips"] == len(sources)
    for source in sources:
        before, after = probe(source), probe(tmp_path / "out" / f"{source.stem}_recon.mp4")
        assert (after.width, after.height) == (256, 256)
        assert (after.frames, after.fps) == (min(33, before.frames), before.fps)


def test_every_image_at_its_own_size(shared, tmp_path):
    images = shared / "data" / "images"
    run(SCRIPT, "--input", images, "--output_path", "out", cwd=tmp_path)
    for source in images.iterdir():
        assert read_image(tmp_path / "out" / f"{source.stem}_recon.png").shape == read_image(source).shape
    assert min(row["psnr"] for row in report_of(tmp_path / "out")["clips"]) > 20


def test_clips_at_full_length_and_their_own_size(shared, tmp_path):
    (tmp_path / "in").mkdir()
    for name in FULL_LENGTH:
        (tmp_path / "in" / name).symlink_to(shared / "data" / "clips" / name)
    run(SCRIPT, "--input", "in", "--output_path", "out", cwd=tmp_path)
    report_of(tmp_path / "out")
    for name in FULL_LENGTH:
        source = shared / "data" / "clips" / name
        assert probe(tmp_path / "out" / f"{source.stem}_recon.mp4") == probe(source)
