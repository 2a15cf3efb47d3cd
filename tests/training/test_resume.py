"""A training that was stopped and resumed is, bit for bit, one that was not."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from calls import call_script
from conftest import ROOT, check_one_line_error
from recipes import SMALL, recipe, toy_recipe

from mg.config import write_recipe
from mg.errors import InputError
from mg.locks import hold_folder
from mg.models import weights
from mg.models.weights import TensorFile
from mg.training import checkpoint
from mg.training.loop import train


def newest(folder):
    return TensorFile(checkpoint.latest(folder / "checkpoints"))


def lines(folder):
    """The run's log without what a clock says."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name not in ("seconds", "waited")} for record in records]


def check_equal(one, other):
    a, b = newest(one), newest(other)
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert a.header["progress"] == b.header["progress"]
    assert lines(one) == lines(other)


@pytest.mark.parametrize(
    "make, changes",
    [
        (toy_recipe, {"ema_decay": 0.9}),
        pytest.param(recipe, {"optimizer": "muon", "ema_decay": 0.9}, marks=pytest.mark.slow),
        pytest.param(
            recipe,
            {"gradient_accumulation_steps": 2, "disc_weight": 0.5, "disc_channels": 8, "lecam_weight": 0.1},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["ema", "muon and ema", "accumulation and discriminator"],
)
def test_three_steps_and_three_more_are_six(tmp_path, make, changes):
    assert train(make(tmp_path, max_steps=6, **changes), tmp_path / "six") == 0
    shutil.copytree(tmp_path / "six", tmp_path / "three")  # as if killed after the third step's checkpoint
    checkpoint.latest(tmp_path / "three" / "checkpoints").unlink()
    kept = (tmp_path / "six" / "metrics.jsonl").read_text().splitlines(keepends=True)[:3]
    killed = ['{"step": 3, "total": 1e9}\n', '{"step": 4, "to']  # what may be left behind
    (tmp_path / "three" / "metrics.jsonl").write_text("".join(kept + killed))
    assert train(make(tmp_path, max_steps=6, **changes), tmp_path / "three", resume=True) == 0
    check_equal(tmp_path / "six", tmp_path / "three")
    first, last = (TensorFile(tmp_path / "six" / "checkpoints" / f"step_0000000{n}.safetensors") for n in (3, 6))
    for part in ("model.", "adamw.m.", "adamw.v.", *(["muon.m."] if "optimizer" in changes else [])):
        assert any((first[name] != last[name]).any() for name in first if name.startswith(part)), part
    if "ema_decay" in changes:
        averaged = TensorFile(tmp_path / "six" / "last.safetensors")
        for name in (name for name in averaged if f"ema.{name}" in last):
            np.testing.assert_array_equal(averaged[name], last[f"ema.{name}"])


def test_what_cannot_be_resumed_is_refused(tmp_path, uncompiled):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match="no checkpoint"):
        train(toy_recipe(tmp_path), folder, resume=True)
    assert train(toy_recipe(tmp_path, max_steps=1, checkpoint_interval=1), folder) == 0
    with pytest.raises(InputError, match="--resume"):
        train(toy_recipe(tmp_path), folder)
    with pytest.raises(InputError, match=r"learning_rate: 0\.001 became 0\.5"):
        train(toy_recipe(tmp_path, learning_rate=0.5), folder, resume=True)
    with pytest.raises(InputError, match="no checkpoint of a training"):
        train(toy_recipe(tmp_path), tmp_path / "other", resume=str(folder / "last.safetensors"))
    path, file = checkpoint.latest(folder / "checkpoints"), newest(folder)
    header = {**file.header, "config": {k: v for k, v in file.header["config"].items() if k != "moving_image_ratio"}}
    weights.save_file(dict(file), path, {"mg": json.dumps(header)})  # by a version that did not have the key
    with pytest.raises(InputError, match=r"moving_image_ratio: 0\.0 became 0\.5"):
        train(toy_recipe(tmp_path, max_steps=1, moving_image_ratio=0.5), folder, resume=True)
    assert train(toy_recipe(tmp_path, max_steps=1), folder, resume=True) == 0
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        train(toy_recipe(tmp_path), folder, resume=True)


def test_a_full_disk_ends_the_run_and_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, uncompiled):
    folder = tmp_path / "run"
    real = checkpoint.weights.save_file

    def full(tensors, path, metadata):
        if json.loads(metadata["mg"]).get("progress", {}).get("position", {}).get("step") == 2:
            with open(path, "wb") as file:
                file.write(b"half of it")
            raise OSError(28, "No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(checkpoint.weights, "save_file", full)
    with pytest.raises(InputError, match=r"step_00000002.*No space left on device"):
        train(toy_recipe(tmp_path, checkpoint_interval=1), folder)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step_00000001.safetensors"]
    assert newest(folder).header["progress"]["position"]["step"] == 1


SCRIPT = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "scripts")!r}]
from toys import ToyVideoVAE
from mg import cli
from mg.models import families
families.FAMILIES[ToyVideoVAE.family] = ToyVideoVAE
import train
cli.run_script(train.main)
"""


def test_sigterm_saves_and_the_run_goes_on_from_there(tmp_path, uncompiled):
    chosen = toy_recipe(tmp_path, max_steps=100000, checkpoint_interval=100000, mode="pynative")
    write_recipe(tmp_path / "recipe.yaml", chosen.as_mapping())
    (tmp_path / "toy_train.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "toy_train.py", "--config", tmp_path / "recipe.yaml", "--output_path"]
    process = subprocess.Popen([*map(str, command), str(tmp_path / "run")], stderr=subprocess.PIPE)
    log = tmp_path / "run" / "metrics.jsonl"
    deadline = time.time() + 300
    while time.time() < deadline and not (log.exists() and log.read_text().count("\n") >= 3):
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    message = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 130, message
    assert "saved" in message
    assert "SIGTERM" in (tmp_path / "run" / "train.log").read_text()
    done = newest(tmp_path / "run").header["progress"]["position"]["step"]
    assert done >= 3
    assert len(lines(tmp_path / "run")) == done
    assert (
        train(toy_recipe(tmp_path, max_steps=done + 2, checkpoint_interval=100000), tmp_path / "run", resume=True) == 0
    )
    assert newest(tmp_path / "run").header["progress"]["position"]["step"] == done + 2
    assert [record["step"] for record in lines(tmp_path / "run")] == list(range(done + 2))


@pytest.mark.slow
def test_bad_clips_are_named_counted_and_remembered(tmp_path):
    recipe(tmp_path)
    (tmp_path / "clips" / "3.mp4").write_bytes(b"not a video")
    (tmp_path / "list.csv").write_text("video\n0.mp4\n3.mp4\n4.mp4\nmissing.mp4\n")
    csv = str(tmp_path / "list.csv")
    folder = tmp_path / "run"
    assert train(recipe(tmp_path, max_bad_share=0.5, csv_path=csv, max_steps=4, checkpoint_interval=2), folder) == 0
    progress = newest(folder).header["progress"]
    assert {path.rpartition("/")[2] for path in progress["bad_files"]} == {"3.mp4", "missing.mp4"}
    assert progress["replaced"] == sum(record["replaced"] for record in lines(folder)) == 2
    listed = (folder / "bad_files.txt").read_text().splitlines()
    assert [line.split("\t")[0].rpartition("/")[2] for line in listed] == ["3.mp4", "missing.mp4"]
    with pytest.raises(InputError, match="max_bad_share"):
        train(recipe(tmp_path, csv_path=csv, max_steps=9), tmp_path / "strict")
    assert len((tmp_path / "strict" / "bad_files.txt").read_text().splitlines()) == 2


def test_wrong_command_lines_are_one_line(tmp_path):
    script, folder = "scripts/train_tae.py", ("--output_path", tmp_path / "a")
    done = call_script(script, *folder, "--learning_rat", "1", cwd=tmp_path, code=2)
    check_one_line_error(done, "learning_rat")
    done = call_script(script, *folder, "--dtype", "bf16", "--video_folder", tmp_path, cwd=tmp_path, code=2)
    check_one_line_error(done, "bf16", "CPU")


@pytest.mark.slow
def test_going_on_from_an_older_checkpoint_sets_the_later_ones_aside(tmp_path):
    folder = tmp_path / "run"
    assert train(recipe(tmp_path, checkpoint_interval=1), folder) == 0
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {f"step_0000000{step}.safetensors" for step in (1, 2, 3)}
    older = folder / "checkpoints" / "step_00000001.safetensors"
    with pytest.raises(InputError, match=r"model\.norm_num_groups"):
        write_recipe(tmp_path / "other.yaml", {**SMALL, "norm_num_groups": 4})
        train(recipe(tmp_path, model_config=str(tmp_path / "other.yaml")), folder, resume=str(older))
    with pytest.raises(InputError, match="no folder"):
        train(recipe(tmp_path, video_folder="nowhere"), folder, resume=True)
    assert "nowhere" not in (folder / "config.yaml").read_text()
    assert train(recipe(tmp_path, max_steps=2, checkpoint_interval=1, keep_checkpoints=1), folder, str(older)) == 0
    assert [path.name for path in (folder / "checkpoints").glob("*.safetensors")] == ["step_00000002.safetensors"]
    assert {path.name for path in (folder / "checkpoints" / "later").iterdir()} == kept - {older.name}
    assert [record["step"] for record in lines(folder)] == [0, 1]


def test_what_would_fail_late_fails_at_the_start(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(InputError, match=r"validation clips: .*no folder"):
        train(recipe(tmp_path, validation_video_folder=str(tmp_path / "nothing")), folder)
    with hold_folder(folder), pytest.raises(InputError, match="another run"):
        train(recipe(tmp_path), folder)
    for wrong in ({"seed": 2**32}, {"validation_frames": 1}, {"ckpt_path": ""}, {"learning_rate": 1e300}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            recipe(tmp_path, **wrong)
    assert not (folder / "metrics.jsonl").exists()


@pytest.mark.parametrize("header", [{}, {"progress": 5}, {"progress": {"position": 5}}, {"progress": {"more": 1}}])
def test_a_damaged_header_is_one_error(tmp_path, header):
    path = tmp_path / "step_00000001.safetensors"
    weights.write(path, {}, {"family": checkpoint.FAMILY, "config": {}, **header})
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(path, {}, {}, {})
