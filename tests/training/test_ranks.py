"""Two ranks under msrun: what they learn is what one process with both batches learns."""

import json

import numpy as np
import pytest
from conftest import ROOT, msrun, run
from recipes import recipe

from mg.config import write_recipe
from mg.models.weights import TensorFile


def changed_script(path, change):
    """scripts/train_tae.py after some lines of Python that may change `loop`."""
    lines = ["import sys", f"sys.path[:0] = [{str(ROOT / 'scripts')!r}]", "import train_tae", "from mg import cli"]
    lines += ["from mg.training import loop", change, "cli.run_script(train_tae.main)"]
    path.write_text("\n".join(lines))
    return path


EVERY_RANK_SAVES = """
go = loop.Run.go
def saving(run):
    code = go(run)
    run.parts.model.save(run.folder.path.parent / f"rank{run.share.rank}.safetensors")
    return code
loop.Run.go = saving
"""
RANK_1_DIES = """
learn = loop.Run._learn
def dying(run, step, stop):
    if run.share.rank == 1 and step.number == 1:
        raise RuntimeError("rank 1 has died of this")
    return learn(run, step, stop)
loop.Run._learn = dying
"""


def states(tmp_path, **changes):
    """The last checkpoints, and the logs, of two ranks with batches of 1 and of one process with a batch of 2."""
    chosen = recipe(tmp_path, checkpoint_interval=1, **changes)
    write_recipe(tmp_path / "recipe.yaml", chosen.as_mapping())
    script = "scripts/train_tae.py"
    saving = changed_script(tmp_path / "saving.py", EVERY_RANK_SAVES)
    msrun(saving, "--config", tmp_path / "recipe.yaml", "--output_path", tmp_path / "two", folder=tmp_path)
    ranks = [TensorFile(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1)]
    for name in ranks[0]:
        np.testing.assert_array_equal(ranks[0][name], ranks[1][name], err_msg=name)
    run(
        script,
        "--config",
        tmp_path / "recipe.yaml",
        "--output_path",
        tmp_path / "one",
        "--batch_size",
        "2",
        cwd=tmp_path,
    )
    files = [TensorFile(tmp_path / name / "checkpoints" / "step_00000003.safetensors") for name in ("two", "one")]
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    ]
    return files, logs


@pytest.mark.slow
def test_sgd_on_two_ranks_equals_one_process_with_the_doubled_batch(tmp_path):
    changes = {"optimizer": "sgd", "learning_rate": 1e-2, "validation_video_folder": str(tmp_path / "clips")}
    (two, one), logs = states(tmp_path, **changes)
    assert set(two) == set(one)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-6, err_msg=name)
    for a, b in zip(*logs):
        assert set(a) == set(b)
        for name in set(a) - {"seconds", "waited"}:
            tolerance = 1e-3 if name.startswith("validation") else 1e-4  # pixels are rounded to levels there
            assert a[name] == pytest.approx(b[name], rel=tolerance), name
    assert logs[0][-1]["validation_clips"] == 5


@pytest.mark.slow
def test_adamw_on_two_ranks(tmp_path):
    rate = 1e-3
    (two, one), logs = states(tmp_path, learning_rate=rate, weight_decay=0.0)
    assert logs[0][0]["grad_norm"] == pytest.approx(logs[1][0]["grad_norm"], rel=1e-6)
    first = [TensorFile(tmp_path / name / "checkpoints" / "step_00000001.safetensors") for name in ("two", "one")]
    means = [name for name in first[0] if name.startswith("adamw.m.")]  # a tenth of the first step's gradients
    largest = max(np.abs(first[1][name]).max() for name in means)
    assert largest > 0
    for name in means:
        np.testing.assert_allclose(first[0][name], first[1][name], rtol=1e-6, atol=1e-6 * largest, err_msg=name)
    for name in (name for name in one if name.startswith("model.")):
        assert np.abs(two[name] - one[name]).max() <= 2 * rate * 3, name


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_job_with_its_error(tmp_path):
    script = changed_script(tmp_path / "dies.py", RANK_1_DIES)
    write_recipe(tmp_path / "recipe.yaml", recipe(tmp_path, max_steps=50).as_mapping())
    text = msrun(
        script, "--config", tmp_path / "recipe.yaml", "--output_path", tmp_path / "run", folder=tmp_path, code=1
    )
    assert "rank 1 has died of this" in text
