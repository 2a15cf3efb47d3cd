"""The codec's clips take the bits of latents and no more, and what is reported is what is in the files."""

import json
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from calls import call_script
from conftest import ROOT, check_one_line_error

sys.path.append(str(ROOT / "tools"))
from draw_sample_clip import draw_sample_clip

from mg.io.image import write_image
from mg.io.video import read_frames, write_video
from mg.metrics.psnr import psnr

TOOL = "tools/h264_yardstick.py"


@pytest.fixture
def sources(tmp_path):
    """A clip of 12 frames, of which 9 are taken, and an image of the first of them."""
    frames = list(draw_sample_clip(12, 64))
    with write_video(tmp_path / "in" / "clip.mp4", Fraction(24), crf=0) as video:
        for frame in frames:
            video.write(frame)
    write_image(tmp_path / "in" / "image.png", frames[0])
    return tmp_path / "in"


def size_in_bits(path):
    """Of all packets, less what x264 says of itself in the first."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    about = packets[0]
    assert about[4] & 31 == 6 and b"x264" in about[:200]
    return 8 * (sum(map(len, packets)) - 4 - int.from_bytes(about[:4], "big"))


def test_bits_and_figures(sources, tmp_path):
    call_script(TOOL, "--input", "in", "--num_frames", "9", "--output_path", "out", cwd=tmp_path)
    rows = {row["file"]: row for row in json.loads((tmp_path / "out" / "metrics.json").read_text())["clips"]}
    assert {name: row["frames"] for name, row in rows.items()} == {"clip.mp4": 9, "image.png": 1}
    for stem, row, latent_frames in (("clip", rows["clip.mp4"], 2), ("image", rows["image.png"], 1)):
        bits, most = size_in_bits(tmp_path / "out" / f"{stem}.mp4"), 8 * 16 * latent_frames * 8 * 8
        assert row["of_latents"] == pytest.approx(bits / most) and 0.3 < row["of_latents"] <= 1
        assert row["bits_per_pixel"] == pytest.approx(bits / (row["frames"] * 64 * 64))
    pairs = zip(read_frames(sources / "clip.mp4"), read_frames(tmp_path / "out" / "clip.mp4"))
    assert rows["clip.mp4"]["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert rows["clip.mp4"]["psnr"] > 25


def test_more_bits_are_spent(sources, tmp_path):
    for bits in (2, 8):
        arguments = ("--input", "in/clip.mp4", "--bits", str(bits), "--output_path", f"out{bits}")
        call_script(TOOL, *arguments, cwd=tmp_path)
    few, many = (json.loads((tmp_path / f"out{bits}" / "metrics.json").read_text())["clips"][0] for bits in (2, 8))
    assert few["crf"] > many["crf"] and few["psnr"] < many["psnr"] and few["bits_per_pixel"] < many["bits_per_pixel"]


def test_a_damaged_clip_is_named_and_the_others_are_measured(sources, tmp_path):
    (sources / "broken.mp4").write_bytes(b"no video")
    done = call_script(TOOL, "--input", "in", "--output_path", "out", cwd=tmp_path, code=2)
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [row["file"] for row in report["clips"]] == ["clip.mp4", "image.png"]
    assert list(report["failed"]) == ["broken.mp4"] and "broken.mp4" in done.stdout + done.stderr


def test_wrong_input_is_refused(sources, tmp_path):
    check_one_line_error(call_script(TOOL, "--input", "in", "--bits", "0", cwd=tmp_path, code=2), "bits=0")
    check_one_line_error(call_script(TOOL, "--input", "nowhere", cwd=tmp_path, code=2), "nowhere")
    before = (sources / "clip.mp4").read_bytes()
    onto_itself = ("--input", "in/clip.mp4", "--output_path", "in")
    check_one_line_error(call_script(TOOL, *onto_itself, cwd=tmp_path, code=2), "clip.mp4", "would be written over")
    assert (sources / "clip.mp4").read_bytes() == before
    assert not (tmp_path / "h264" / "metrics.json").exists()
