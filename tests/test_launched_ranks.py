"""Processes that share one script's work: how they end, and what is seen of them."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT
from media import save_nano, write_clip

from mg.errors import InputError
from mg.locks import hold_folder
from mg.ranks import Hosts, run_ranks

SCRIPT = """
import os, signal, sys, time
rank, role = int(os.environ["RANK_ID"]), os.environ["MS_ROLE"]
if role == "MS_SCHED":
    time.sleep(60)
{body}
"""


@pytest.fixture
def ranks(tmp_path, capfd):
    """Run a few lines as two ranks, whose scheduler never ends by itself: (code, what is shown, seconds)."""

    def ranks(body, ranks=2):
        (tmp_path / "script.py").write_text(SCRIPT.format(body=body))
        start = time.monotonic()
        code = run_ranks([str(tmp_path / "script.py")], ranks, tmp_path / "out")
        return code, capfd.readouterr().err, time.monotonic() - start

    return ranks


def test_ranks_end_as_one_process_does(ranks, tmp_path):
    body = 'print("[INFO] of MindSpore"); print("error: of all"); print("rank", rank); print("error: of", rank)\n'
    code, shown, seconds = ranks(body + "sys.exit(2)")
    assert code == 2 and seconds < 8
    assert shown.splitlines()[:3] == ["error: of all", "rank 0", "error: of 0"]
    assert shown.splitlines()[3:] == ["error: of 1"]
    assert sorted(path.name for path in (tmp_path / "out" / "ranks").iterdir()) == [
        *("scheduler.log", "worker_0.log", "worker_1.log")
    ]
    assert ranks("sys.exit(0)")[0] == 0


def test_one_that_fails_alone_does_not_leave_the_others_waiting(ranks, monkeypatch, tmp_path):
    monkeypatch.setattr("mg.ranks._GRACE_S", 0.5)
    code, shown, seconds = ranks("time.sleep(0 if rank else 60); os.kill(os.getpid(), signal.SIGKILL)")
    assert code == 1 and seconds < 8
    assert shown == f"error: a rank was ended by SIGKILL; its log is '{tmp_path / 'out' / 'ranks' / 'worker_1.log'}'\n"


def test_two_hosts_are_one_cluster(tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT.format(body="print(*(os.environ[name] for name in sys.argv[1].split()))"))
    names = "MS_WORKER_NUM RANK_ID MS_NODE_ID DEVICE_ID MS_SCHED_HOST MS_SCHED_PORT"
    for host in (1, 0):
        assert run_ranks([str(script), names], 2, out, Hosts(2, host, "10.0.0.1", 8118)) == 0
        assert (out / "ranks" / "scheduler.log").exists() == (host == 0)
    for rank in range(4):
        told = (out / "ranks" / f"worker_{rank}.log").read_text()
        assert told == f"4 {rank} {rank} {rank % 2} 10.0.0.1 8118\n"


@pytest.mark.parametrize("hosts, words", [((0,), "hosts=0"), ((2, 2), "host=2"), ((2, 0, "10.0.0.1"), "a free port")])
def test_hosts_that_cannot_find_each_other_are_refused(hosts, words):
    with pytest.raises(InputError, match=words):
        Hosts(*hosts)


def test_a_folder_where_a_run_is_at_work_keeps_its_logs(ranks, tmp_path):
    with hold_folder(tmp_path / "out"), pytest.raises(InputError, match="another run"):
        ranks("sys.exit(0)")
    assert not (tmp_path / "out" / "ranks").exists()


def test_an_interruption_lets_all_ranks_save(tmp_path):
    body = """
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1 + rank)
    print("saved", flush=True)
    sys.exit(130)
"""
    (tmp_path / "script.py").write_text(SCRIPT.format(body=body))
    out = tmp_path / "out"
    launcher = [sys.executable, str(ROOT / "scripts" / "launch" / "ranks.py"), "2", str(tmp_path / "script.py")]
    process = subprocess.Popen([*launcher, "--output_path", str(out)], stderr=subprocess.DEVNULL)
    logs = [out / "ranks" / f"worker_{rank}.log" for rank in range(2)]
    deadline = time.monotonic() + 30
    while not all(log.exists() and log.read_text() == "ready\n" for log in logs) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert [log.read_text() for log in logs] == ["ready\nsaved\n"] * 2


@pytest.mark.slow
def test_failed_clips_of_two_ranks_are_one_line_each(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in ("a", "c", "d"):
        write_clip(tmp_path / "clips" / f"{name}.mp4", np.zeros((3, 32, 32, 3), np.uint8))
    for name in ("b", "e"):
        (tmp_path / "clips" / f"{name}.mp4").write_text("no video")
    weights = save_nano(tmp_path / "nano.safetensors")
    command = [str(ROOT / "scripts" / "launch" / "ranks.py"), "2", str(ROOT / "scripts" / "reconstruct.py")]
    command += ["--video_folder", tmp_path / "clips", "--ckpt_path", weights, "--output_path", tmp_path / "out"]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=os.environ
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert sorted(line[:12] for line in errors) == ["error: b.mp4", "error: e.mp4"]
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (len(report["clips"]), len(report["failed"]), report["run"]["ranks"]) == (3, 2, 2)
    assert time.monotonic() - start < report["run"]["seconds"] + 30
    assert not (tmp_path / "ranks").exists() and not (tmp_path / "worker_0.log").exists()
