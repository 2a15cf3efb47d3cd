"""Files damaged at random: an error or frames, never the end of the process, and nothing wrong that could be known.

Most formats carry no checksum: where bits are another valid stream, nobody can tell a picture that was changed from a
right one. That it is so is asked of FFmpeg: such a file is decoded to the same frames by its own straight decoding, and
at its strictest it says nothing of it, no warning, no mark on a packet or picture. docs/inference.md has the 2,000.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

SEED, COUNT = 21, 200
SUMMED = ("image.png", "h264.mkv", "vp9.mkv", "vp8.ogv")  # whose containers have checksums


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
    unseen = [row for row in rows if row["came"] == "other"]
    assert not [row for row in unseen if row["file"] in SUMMED]
    videos = [row for row in unseen if "said" in row]
    assert len(videos) > 2
    assert not [row for row in videos if row["said"] or not row["alike"]]
