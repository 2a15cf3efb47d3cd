"""Figures and frames of several folders, side by side."""

import csv
import json
from fractions import Fraction

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error

from mg.io.image import read_image, write_image
from mg.io.video import write_video

TOOL = "tools/compare_results.py"


def grey(level, width=64):
    return np.full((64, width, 3), level, np.uint8)


def write_clip(path, levels, width=64):
    with write_video(path, Fraction(24), crf=0) as video:
        for level in levels:
            video.write(grey(level, width))


@pytest.fixture
def folders(tmp_path):
    """An evaluation of a clip and an image, with frames' figures, and a codec's folder of the clip and another one."""
    ours, codec = tmp_path / "ours", tmp_path / "codec"
    rows = [
        {"file": "a/clip.mp4", "frames": 20, "psnr": 25.5, "ssim": 0.75},
        {"file": "image.png", "frames": 1, "psnr": 30.0, "ssim": 0.9},
    ]
    write_clip(ours / "a" / "clip_recon.mp4", range(40, 80, 2))
    write_clip(ours / "a" / "clip_side_by_side.mp4", range(100, 140, 2), 192)
    write_image(ours / "image_recon.png", grey(10))
    write_image(ours / "image_side_by_side.png", grey(20, 192))
    (ours / "metrics.json").write_text(json.dumps({"clips": rows}))
    with open(ours / "frames.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "frame", "psnr", "ssim"))
        writer.writerows(("a/clip.mp4", index, 25 + index % 8 / 2, 0.75) for index in range(20))
        writer.writerow(("image.png", 0, 30.0, 0.9))
    write_clip(codec / "a" / "clip.mp4", range(160, 200, 2))
    write_clip(codec / "image.mp4", [200])
    rows = [{**row, "psnr": row["psnr"] + 10} for row in rows] + [{**rows[0], "file": "more.mp4"}]
    (codec / "metrics.json").write_text(json.dumps({"clips": rows}))
    return ("--results", "ours=ours", "codec=codec")


def test_table_and_picture(folders, tmp_path):
    done = call_script(TOOL, *folders, "--frame", "9", "--output_path", "out/both", cwd=tmp_path)
    text = (tmp_path / "out" / "both.md").read_text()
    assert "| a/clip.mp4 | 25.50 | 0.7500 | 3.50 | 35.50 | 0.7500 | - |" in text
    assert "| image.png | 30.00 | 0.9000 | - | 40.00 | 0.9000 | - |" in text
    assert "| **mean of 1 videos** | 25.50 |" in text and "| **mean of 1 images** | 30.00 |" in text
    assert "more.mp4" not in text
    assert text.strip() in done.stdout
    picture = read_image(tmp_path / "out" / "both.png").astype(int)
    shown = {int(level) for level in (20, 10, 200, 118, 58, 178) if (np.abs(picture - level).max(-1) <= 2).sum() > 3000}
    assert shown == {20, 10, 200, 118, 58, 178}


def test_what_cannot_be_compared_is_refused(folders, tmp_path):
    check_one_line_error(call_script(TOOL, "--results", "ours", cwd=tmp_path, code=2), "must be a name and a folder")
    check_one_line_error(call_script(TOOL, "--results", "a=nowhere", cwd=tmp_path, code=2), "nowhere", "metrics.json")
    (tmp_path / "codec" / "a" / "clip.mp4").unlink()
    check_one_line_error(call_script(TOOL, *folders, cwd=tmp_path, code=2), "no reconstruction of 'a/clip.mp4'")
    assert not (tmp_path / "comparison.md").exists()
    figures = tmp_path / "codec" / "metrics.json"
    for rows, words in (
        ([{"file": "a/clip.mp4", "frames": 9, "psnr": 1.0, "ssim": 1.0}], "has 9 frames of 'a/clip.mp4'"),
        ([{"file": "more.mp4", "frames": 9, "psnr": 1.0, "ssim": 1.0}], "no clip is in all"),
        ([{"file": "more.mp4", "frames": 9}], "does not have PSNR and SSIM"),
    ):
        figures.write_text(json.dumps({"clips": rows}))
        check_one_line_error(call_script(TOOL, *folders, cwd=tmp_path, code=2), words)
    (tmp_path / "ours" / "frames.csv").write_text("file,frame\na/clip.mp4,1\n")
    check_one_line_error(call_script(TOOL, *folders, cwd=tmp_path, code=2), "frames.csv", "does not have PSNR and SSIM")
