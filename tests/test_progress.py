"""Where the log is a file there are lines, and no bars; and rows of a measurement that goes on where it stopped."""

import io
import json
import logging
import sys

import numpy as np
import pytest
from averages import averaging_session

from mg import progress
from mg.errors import InputError
from mg.progress import show_progress
from mg.rows import measured_rows


@pytest.fixture
def lines(monkeypatch, caplog):
    """What is said with a line for every step."""
    monkeypatch.setattr(progress, "_SECONDS", 0)
    caplog.set_level(logging.INFO, "mg")
    return lambda: [record.message for record in caplog.records]


def test_a_file_gets_lines_and_no_escape_codes(lines, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with show_progress(total=4, unit="frame", leave=False) as bar:
        bar.set_description("a.mp4: compiling")
        bar.start_t -= 10
        for _ in range(4):
            bar.update()
            bar.begun = bar.begun[0], bar.begun[1] - 1
    assert sys.stderr.getvalue() == ""
    assert lines()[0].startswith("a.mp4: compiling: 1 of 4 frames, 00:1") and "about 00:" in lines()[0]
    assert not [line for line in lines() if {"\r", "\n", "\x1b", "|"} & set(line)]
    assert "4 of 4" not in " ".join(lines())


@pytest.mark.parametrize("iterated", [True, False])
def test_what_was_compiled_before_the_first_piece_is_not_estimated_again(lines, monkeypatch, iterated):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def work():
        for number in range(5):
            now[0] += 2 if number else 100
            yield number

    with show_progress(work() if iterated else None, total=5, unit="frame") as bar:
        bar.start_t -= 10
        for number in bar if iterated else work():
            if not iterated:
                bar.update()
            if number == 3:
                told = bar.format_dict
                assert told["rate"] * 6 == pytest.approx(told["n"] - (not iterated))


def test_what_is_computed_but_waits_for_the_next_window_is_not_left(lines, monkeypatch):
    """Windows of 32 frames that share 16, 10 s each: 16 frames are handed out after each, and 32 after the last."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with show_progress(total=96, unit="frame") as bar:
        for window in range(5):
            now[0] += 10
            progress.say("decoding", 32 + 16 * window)
            told = bar.format_dict
            if window > 1:
                assert (told["total"] - told["n"]) / told["rate"] == pytest.approx(10 * (4 - window), abs=1e-6)
            bar.update(16 if window < 4 else 32)
    with show_progress(total=96, unit="frame") as bar:
        bar.counts_computed = False
        bar.update(16)
        progress.say("decoding", 96)
        assert bar.format_dict["n"] == 16


def test_every_tile_is_told_by_the_innermost_bar(lines, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    sizes = {"encode_tile": 4, "encode_context": 0, "decode_tile": 4, "decode_overlap": 0}
    model = averaging_session(tmp_path / "nano.safetensors", **sizes, spatial_tile=16, spatial_overlap=8).model
    with (
        show_progress(total=2, desc="all", unit="clip") as outer,
        show_progress(total=8, desc="a", unit="frame") as bar,
    ):
        for one in (outer, bar):
            one.start_t -= 10
        latents = list(model.raw_stream([np.zeros((1, 3, 8, 16, 24), np.float32)]))
        assert len(list(model.clip_stream([model.latents.decoded(z) for z in latents]))) == len(latents)
        told = [line for line in lines() if "so far" in line]
    spans = [f"{way} frames {span}" for way in ("encoding", "decoding") for span in ("0 to 3", "4 to 7")]
    assert [line.rpartition("left, ")[2] for line in told] == [f"{span}, tile {n}" for span in spans for n in (1, 2)]
    assert all(line.startswith("a: 0 of 8 frames") for line in told)


def test_short_work_and_other_ranks_say_nothing(lines, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(show_progress(range(3), desc="short", unit="clip")) == [0, 1, 2]
    assert list(show_progress(range(3), desc="of another rank", disable=True)) == [0, 1, 2]
    assert lines() == [] and sys.stderr.getvalue() == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(show_progress(range(3), desc="bar", file=terminal)) == [0, 1, 2]
    assert "bar: 100%" in terminal.getvalue()


def test_rows_are_written_as_they_are_measured_and_gone_on_from(tmp_path):
    path, asked = tmp_path / "result.json", []

    def measure(name):
        asked.append(name)
        return {"name": name, "value": len(asked)}

    with pytest.raises(KeyboardInterrupt), measured_rows(path, {"flag": 1}, resume=False) as rows:
        for name in ("a", "b"):
            rows.get(name, lambda name=name: measure(name))
        written = (tmp_path / "result.json.rows").read_text().splitlines()
        assert [json.loads(line).get("name") for line in written] == [None, "a", "b"]
        raise KeyboardInterrupt
    with open(tmp_path / "result.json.rows", "a") as file:
        file.write('{"name": "c", "ro')  # a killed run's last line
    with pytest.raises(InputError, match="other flags"), measured_rows(path, {"flag": 2}, resume=True):
        pytest.fail("rows of other flags were taken")
    with measured_rows(path, {"flag": 1}, resume=True) as rows:
        values = [rows.get(name, lambda name=name: measure(name))["value"] for name in ("a", "b", "c")]
    assert (values, asked) == ([1, 2, 3], ["a", "b", "c"])
    assert list(tmp_path.iterdir()) == []
    with measured_rows(path, {"flag": 1}, resume=False) as rows:
        assert rows.get("a", lambda: measure("a"))["value"] == 4
