"""What a recording of a long command is judged by."""

import json

import pytest
from calls import call_script

SLOW = """
import sys, time
held = []
for number in range(10):
    held.append(bytearray(40_000_000) if number == 8 else b"")
    print(f"x.mp4: {number} of 10 frames, 00:0{number} so far, about 01:{number:02} left", file=sys.stderr, flush=True)
    time.sleep(0.3)
sys.exit(3)
"""


def test_a_command_is_watched_to_its_end(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    call_script("tools/measure_progress.py", "slow.py", cwd=tmp_path, code=3)
    record = json.loads((tmp_path / "progress.json").read_text())
    assert [text for _, text in record["lines"]][1] == "x.mp4: 1 of 10 frames, 00:01 so far, about 01:01 left"
    assert record["found"]["growth"] > 1.05  # 40 MB more in the second half
    assert 0.25 < record["found"]["longest_silence_s"] < record["seconds"]


def test_estimates_silences_and_growth_are_told():
    from runpy import run_path

    from conftest import ROOT

    judge = run_path(str(ROOT / "tools/measure_progress.py"))["judge"]
    lines = [
        (10 * n, f"a: {n} of 10 frames, 0:00 so far, about {left} left")
        for n, left in ((1, "9:00"), (4, "1:30"), (5, "0:40"))
    ]
    record = {"seconds": 100, "lines": [*lines, (55, "a note")], "memory": [(10, 100.0), (30, 200.0), (60, 210.0)]}
    assert judge(record) == {
        "longest_silence_s": 50,
        "estimate_from_20": pytest.approx(90 / 60),
        "growth": pytest.approx(1.05),
    }
    assert judge({**record, "lines": []}) == dict.fromkeys(("longest_silence_s", "estimate_from_20", "growth"))
