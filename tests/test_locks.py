"""One run where results go: others are kept out, and what killed ones have left is removed."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from mg.errors import InputError, OutputError
from mg.files import TogetherWritten, whole_file
from mg.locks import hold_file, hold_folder

HOLD = """
import sys, time
from mg.files import whole_file
from mg.locks import hold_folder
with hold_folder(sys.argv[1]), whole_file(sys.argv[1] + "/below/result.txt") as part:
    part.write_text("half")
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path / "out" and has written half a file."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def names(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_second_run_is_refused_in_one_line_that_names_the_first(holder, tmp_path):
    before = names(tmp_path / "out")
    refused = pytest.raises(InputError, match=rf"another run \(process {holder.pid} on .*\) is writing to")
    with refused as error, hold_folder(tmp_path / "out"):
        pytest.fail("two runs in one folder")
    assert "\n" not in str(error.value)
    assert names(tmp_path / "out") == before


def test_what_a_killed_run_leaves_is_removed_by_the_next_and_nothing_else_is(holder, tmp_path):
    out = tmp_path / "out"
    (out / "below" / ".part.of.a.user.txt").write_text("mine")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert len(names(out)) == 3
    with hold_folder(out):
        assert names(out) == [".lock", ".part.of.a.user.txt"]
    assert names(out) == [".part.of.a.user.txt"]


def test_a_run_at_work_below_or_above_loses_nothing(holder, tmp_path):
    before = names(tmp_path / "out")
    for folder in (tmp_path, tmp_path / "out" / "below"):
        with hold_folder(folder):
            assert set(before) <= set(names(tmp_path / "out"))
    assert names(tmp_path / "out") == before


def test_ranks_leave_it_to_the_first(holder, tmp_path):
    before = names(tmp_path / "out")
    with hold_folder(tmp_path / "out", rank=1) as held:
        held.check()
    assert names(tmp_path / "out") == before


def test_a_file_is_held_by_itself(tmp_path):
    with hold_file(tmp_path / "a.json"), hold_file(tmp_path / "b.json"), whole_file(tmp_path / "a.json") as part:
        part.touch()
        with pytest.raises(InputError, match="another run"), hold_file(tmp_path / "a.json"):
            pytest.fail("two runs write one file")
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("remove", [shutil.rmtree, lambda folder: folder.rename(folder.with_name("elsewhere"))])
def test_a_folder_that_is_gone_is_noticed(tmp_path, remove):
    with pytest.raises(OutputError, match="removed or replaced"), hold_folder(tmp_path / "out") as held:
        held.check()
        remove(tmp_path / "out")
        (tmp_path / "out").mkdir()
    assert names(tmp_path / "out") == []


def test_a_lock_ends_with_its_block_whatever_happens_in_it(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), hold_folder(tmp_path / "out"):
            raise ZeroDivisionError
    assert os.listdir(tmp_path / "out") == []


def test_files_get_their_names_together_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "b").write_text("old")
    with pytest.raises(ZeroDivisionError), TogetherWritten() as files:
        for name in ("a", "b"):
            files.part(tmp_path / name).write_text("new")
        raise ZeroDivisionError
    assert names(tmp_path) == ["b"] and (tmp_path / "b").read_text() == "old"
    with TogetherWritten() as files:
        for name in ("a", "b"):
            with whole_file(files.part(tmp_path / name)) as part:
                part.write_text("new")
        assert len([name for name in names(tmp_path) if name.startswith(".")]) == 2
    assert names(tmp_path) == ["a", "b"] and (tmp_path / "b").read_text() == "new"
