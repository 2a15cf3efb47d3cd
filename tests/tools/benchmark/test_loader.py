"""What is told of the speed of reading."""

import json
import sys

import numpy as np
import pytest
from conftest import ROOT
from media import moving_frames, write_clip

from mg.errors import InputError


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmark"))
    for name in ("loader", "model", "report"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import loader

    return loader


def flags(folder, *more):
    sizes = ("--mixed_strategy", "video_only", "--sample_n_frames", "4", "--image_size", "16")
    return ["--video_folder", str(folder), *sizes, "--output_path", str(folder / "out" / "loader.json"), *more]


def test_clips_of_the_loader_and_of_a_plain_loop_are_counted(tool, tmp_path):
    for name in "ab":
        write_clip(tmp_path / f"{name}.mp4", moving_frames(6))
    tool.main(flags(tmp_path, "--workers", "1", "2", "--clips", "3"))
    result = json.loads((tmp_path / "out" / "loader.json").read_text())
    told = [(row["by"], row["clips"], row["frames"]) for row in result["rows"]]
    assert told == [("plain PyAV loop", 3, 12), ("loader, 1 workers", 3, 12), ("loader, 2 workers", 3, 12)]
    assert all(np.isclose(row["clips_per_s"], 3 / row["seconds"]) for row in result["rows"])
    assert not list((tmp_path / "out").glob("*.rows"))


def test_cards_kept_busy_are_clips_a_second_times_the_seconds_of_a_step(tool):
    row = tool.row_of("x", 30, 240, 10.0)
    cells = [cell.strip() for cell in tool.table([row], 2.0).splitlines()[-1].split("|")]
    assert cells == ["", "x", "3.00", "24", "6.0", ""]


@pytest.mark.parametrize(
    "more, message",
    [
        (("--workers", "0"), "workers"),
        (("--clips", "0"), "clips"),
        (("--step_seconds", "0"), "step_seconds"),
        (("--sample_n_frames", "0"), "sample_n_frames"),
    ],
)
def test_what_cannot_be_measured_is_refused(tool, tmp_path, more, message):
    write_clip(tmp_path / "a.mp4", moving_frames(2))
    with pytest.raises(InputError, match=message):
        tool.main(flags(tmp_path, *more))
