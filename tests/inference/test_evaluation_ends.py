"""Evaluations that end early: what was finished is kept, and gone on from."""

import errno
import json

import pytest
from listed_clips import evaluated, listed_fixture, session_fixture  # noqa: F401, fixtures

from mg.errors import InputError, OutputError
from mg.inference.clips import find_sources
from mg.inference.reconstruct import Saving, reconstruct
from mg.io.video import VideoWriter
from mg.metrics.metric import PerFrame


def test_a_full_disk_ends_the_run_and_what_was_finished_is_gone_on_from(listed, session, tmp_path, monkeypatch):
    listed["csv_path"].write_text("video\npicture.png\nb.mp4\n")
    whole = evaluated(listed, session, tmp_path / "whole", 0)

    def full(writer):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "finish", full)
        with pytest.raises(OutputError, match=r"out/b_\w+.mp4'.*No space left"):
            evaluated(listed, session, tmp_path / "out", 0)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        *(".scores", "picture_recon.png", "picture_sheet.png", "picture_side_by_side.png")
    ]
    (out / "picture_recon.png").unlink()
    resumed = evaluated(listed, session, out, 0, saving=Saving(resume=True))
    assert not (out / "picture_recon.png").exists()  # it was not computed again
    assert {**resumed, "run": None} == {**whole, "run": None}


def test_a_run_that_is_stopped_leaves_no_report_of_an_earlier_one(listed, session, tmp_path):
    listed["csv_path"].write_text("video\nb.mp4\n")
    evaluated(listed, session, tmp_path / "out", 0, saving=Saving("none"))
    sources = find_sources(tmp_path / "out", **listed)
    broken = PerFrame("broken", lambda *frames: 1 / 0, "of the test")
    with pytest.raises(ZeroDivisionError):
        reconstruct(session, sources, tmp_path / "out", metrics=[broken], saving=Saving("none"))
    assert not list((tmp_path / "out").iterdir())


def test_an_interruption_keeps_what_is_finished_and_says_so(listed, session, tmp_path, monkeypatch, caplog):
    listed["csv_path"].write_text("video\npicture.png\nb.mp4\na.mp4\n")
    whole, out = evaluated(listed, session, tmp_path / "whole", 0), tmp_path / "out"
    caplog.set_level("INFO", "mg")

    def interrupt(writer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(VideoWriter, "finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            evaluated(listed, session, out, 0)
    report = json.loads((out / "metrics.json").read_text())
    assert [row["file"] for row in report["clips"]] == ["picture.png"]
    assert report["unfinished"] == ["b.mp4", "a.mp4"] and whole["unfinished"] == []
    assert "the report is partial: 1 of 3 clips" in caplog.text
    for changes in ({"saving": Saving("none", resume=True)}, {"saving": Saving(resume=True), "sample": True}):
        with pytest.raises(InputError, match="scores of a run with other"):
            evaluated(listed, session, out, 0, **changes)
    resumed = evaluated(listed, session, out, 0, saving=Saving(resume=True))
    assert {**resumed, "run": None} == {**whole, "run": None}
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in (tmp_path / "whole").iterdir())
