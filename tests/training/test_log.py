"""The metrics file, its curves and the list of bad files."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from mg.errors import InputError
from mg.training.log import RunLog, read_metrics, smoothed, write_bad_files


def write_steps(log, steps):
    for step in steps:
        log.write(step, loss=1 / (step + 3), clips=np.int64(step), rate=np.float32(0.1))


def test_lines_are_there_at_once_and_nulls_stand_for_what_is_not_finite(tmp_path):
    with RunLog(tmp_path / "run") as log:
        log.write(0, loss=float("nan"), psnr=np.float32("inf"), skipped=2, lecam=None)
        lines = log.path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 0, "loss": None, "psnr": None, "skipped": 2, "lecam": None}
    ]


@pytest.mark.parametrize("rest", ["", '{"step": 6, "lo', '{"step": 2', "\x00\x00"])
def test_a_resumed_file_is_that_of_an_uninterrupted_run(tmp_path, rest):
    with RunLog(tmp_path / "whole") as log:
        write_steps(log, range(8))
    with RunLog(tmp_path / "cut") as log:
        write_steps(log, range(6))
    with open(log.path, "a") as file:
        file.write(rest)
    with RunLog(tmp_path / "cut", first_step=4) as log:
        write_steps(log, range(4, 8))
    assert log.path.read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert os.listdir(tmp_path / "cut") == ["metrics.jsonl"]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 2"):
        RunLog(tmp_path, first_step=2)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_curves_are_a_picture_with_a_panel_for_each_name_that_changes(tmp_path):
    with RunLog(tmp_path) as log:
        log.curves(tmp_path / "none.png")
        assert not (tmp_path / "none.png").exists()
        log.write(0, loss=1.0)
        log.curves(tmp_path / "one.png")
        for step in range(100):
            log.write(step, loss=float(np.exp(-step / 10)), scale=1.0, psnr=20 + step, empty=None)
        log.write(100, validation_psnr=20.0)
        log.write(100, more=1.0)
        log.curves(tmp_path / "four.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "four.png") as four:
        assert four.format == "PNG"
        assert (four.width, four.height) == (3 * one.width, 2 * one.height)
        assert np.asarray(four.convert("L")).std() > 5
    assert "empty" in read_metrics(tmp_path / "metrics.jsonl")[-3]


def test_smoothing_is_a_mean_over_a_window():
    values = np.arange(120.0)
    assert smoothed(values)[[0, 1, 60, 119]] == pytest.approx([1.5, 2.0, 60.0, 117.5])
    assert smoothed(np.ones(5)) == pytest.approx(np.ones(5))


def test_bad_files_are_one_line_each_sorted(tmp_path):
    write_bad_files(tmp_path / "run", {"b.mp4": "no frames;\nreplace it", "a é.mp4": "not a video"})
    text = (tmp_path / "run" / "bad_files.txt").read_text("utf-8")
    assert text == "a é.mp4\tnot a video\nb.mp4\tno frames; replace it\n"
    write_bad_files(tmp_path / "run", {})
    assert (tmp_path / "run" / "bad_files.txt").read_text() == ""
