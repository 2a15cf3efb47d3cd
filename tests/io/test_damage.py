"""Files damaged at random: an error or frames, never the end of the process.

Most formats carry no checksum: a picture that was changed and can still be decoded cannot be told from a right one, so
some come out wrong. docs/inference.md says how many did of 2,000.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

SEED, COUNT = 21, 200
MOST_UNSEEN = 0.1  # share of the files whose damage no decoder sees


@pytest.mark.slow
def test_damaged_files_give_frames_or_one_error_and_no_end_of_the_process(tmp_path):
    program = Path(__file__).with_name("damage.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(SEED), str(COUNT)],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=600,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"file {lines[-1]} ended it: {done.stderr[-2000:]}"
    rows = [line for line in lines if "came" in line]
    assert len(rows) == COUNT
    came = Counter(row["came"] for row in rows)
    assert came["error"] > COUNT / 3 and came["same"] > COUNT / 10, came
    assert came["other"] < MOST_UNSEEN * COUNT, [row for row in rows if row["came"] == "other"]
    assert not [row for row in rows if row["came"] == "other" and row["file"] == "image.png"]
