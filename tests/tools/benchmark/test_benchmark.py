"""The benchmark: fits against known answers, what is refused, the script as users start it."""

import argparse
import csv
import importlib.util
import json
import sys
from dataclasses import asdict

import mindspore as ms
import numpy as np
import pytest
import yaml
from conftest import FOUR_LEVELS, ROOT, check_one_line_error, run

sys.path.insert(0, str(ROOT / "tools/benchmark"))

import benchmark
import counting
import measure
import report
from child import Case, Setup

from mg.errors import InputError
from mg.models import families

TOOL = "tools/benchmark/benchmark.py"
TWO_LEVELS = {"ch": 8, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 2}


def test_fits_find_what_was_put_in():
    assert report.exponent([8, 16, 32], [0.5 * size**1.3 for size in (8, 16, 32)]) == pytest.approx(1.3)
    assert report.line([1, 9, 17], [1.2, 2.0, 2.8]) == pytest.approx({"gb": 1.1, "gb_per_frame": 0.1})
    assert report.statistics([3.0, 1.0, 2.0, 9.0, 4.0]) == {"median_s": 3, "min_s": 1, "max_s": 9, "iqr_s": 2}


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(TWO_LEVELS))
    return path


def setup_of(model):
    return Setup(model.family, "weights.safetensors", dict(model.config))


def test_memory_has_a_line_for_each_that_was_measured():
    rows = [
        {"by": by, "frames": frames, "height": 64, "width": 64, "peak_gb": start + 0.2 * frames, "median_s": 1.0}
        for by, start in (("mg", 1.0), ("PyTorch", 0.5))
        for frames in (1, 9, 17)
    ]
    fits = report.memory_fits(rows)
    assert fits["mg"] == pytest.approx({"gb": 1.0, "gb_per_frame": 0.2})
    assert fits["PyTorch"] == pytest.approx({"gb": 0.5, "gb_per_frame": 0.2})
    assert "mg: peak GB = 1.00 + 0.200 * T" in report.memory_text(rows, fits)


@pytest.mark.parametrize("single", [0.2, 1.0])
def test_growth_leaves_out_the_latent_frame_that_is_decoded_once(single):
    def row(sweep, frames, side, seconds, share=1.0, window=None):
        size = {"part": "decode", "sweep": sweep, "frames": frames, "height": side, "width": side}
        return {**size, "median_s": seconds, "gflop": share * frames, "window_s": window}

    over_t = [row("T", 8, 64, 0.5 * single, single), row("T", 16, 64, 1.0), row("T", 32, 64, 2.0)]
    over_hw = [row("HW", 8, side, side**4 / 1e9) for side in (64, 128)]
    windows = [row("windows", 128, 64, 8.0, window=1.0), row("windows", 256, 64, 16.4, window=1.025)]
    fits = report.growth_fits([*over_t, *over_hw, *windows])
    assert fits["decode"] == pytest.approx({"exponent_t": 1.0, "exponent_hw": 2.0, "window_spread": 0.025})


def test_a_table_is_aligned():
    columns = {"part": lambda row: row["part"], "s": lambda row: f"{row['s']:.1f}"}
    text = report.table(columns, [{"part": "encode", "s": 10}, {"part": "train", "s": 2.5}])
    assert text.splitlines() == ["| part   |    s |", "| ------ | ---: |", "| encode | 10.0 |", "| train  |  2.5 |"]


def test_operators_are_added_up_by_type():
    rows = [("Conv2D", "a", 1, 6.0), ("Mul", "b", 2, 1.0), ("Conv2D", "c", 1, 3.0)]
    rows = report.by_operator([dict(zip(("operator", "name", "calls", "ms"), row)) for row in rows])
    assert rows[0] == {"operator": "Conv2D", "calls": 2, "ms": 9.0, "share": 0.9}
    assert [row["operator"] for row in rows] == ["Conv2D", "Mul"]


def test_the_plan_has_what_was_asked_for(monkeypatch):
    model = families.build("tae", FOUR_LEVELS, "fp32")
    before = model.tiles
    counted = []

    def count(model, part, clip, element=0, on_cpu=False):
        counter = counting.Counter()
        counter.operations = sum(clip)
        return counter

    monkeypatch.setattr(counting, "count", count)
    monkeypatch.setattr(counting, "count_tiled", lambda model, part, clip: counted.append(model.tiles) or 7)
    asked = {"part": ["encode", "decode", "train"], "frames": None, "size": None, "runs": 3, "peer": ["channels_last"]}
    args = argparse.Namespace(**asked, profile=False, growth=True, memory_frames=[1, 9])
    plan = measure.Plan(args, model, setup_of(model), tiled=False).measurements
    parts = [(one.case.part, *one.case.size[:2], one.case.latents[1], one.operations) for one in plan[:4]]
    assert parts == [
        ("encode", 8, 128, 1, 264),
        ("decode", 8, 128, 1, 264),
        ("decode", 16, 128, 2, 272),
        ("train", 8, 64, 1, 3 * 136),
    ]
    tiled = [one for one in plan if one.sweep == "windows"]
    assert [(one.windows, one.case.size[0], one.operations) for one in tiled] == [
        (windows, 16 * windows, 7) for windows in (8, 16, 32, 64)
    ] * 2
    assert {(one.case.tiles["encode_tile"], one.case.tiles["decode_overlap"]) for one in tiled} == {(16, 0)}
    assert {tiles.encode_context for tiles in counted} == {0} and model.tiles == before
    assert [(one.case.part, one.case.size[0], one.by) for one in plan if one.group == "memory"] == [
        ("train", 1, ("mg", "PyTorch, channels last")),
        ("train", 9, ("mg", "PyTorch, channels last")),
    ]


def test_a_case_comes_over_as_it_is():
    case = Case("encode", (8, 16, 24), (4, 1, 2, 3), Setup("tae", "w.safetensors", {"ch": 8}), {"tile_batch": 2})
    again = Case.from_json(json.dumps(asdict(case)))
    assert again.setup == case.setup and again.tiles == case.tiles
    assert again.clip().shape == (1, 3, 8, 16, 24) and again.noise().shape == (1, 4, 1, 2, 3)
    np.testing.assert_array_equal(again.noise(), case.noise((1, 4, 1, 2, 3)))


def test_results_that_differ_cannot_be_compared(tmp_path):
    values = np.linspace(-2, 2, 9, dtype=np.float32)
    for name, added in (("a", 0), ("b", 1e-4), ("c", 1e-3)):
        np.savez(tmp_path / f"{name}.npz", values + np.float32(added))
    close = measure.difference("encode", "PyTorch", tmp_path / "a.npz", tmp_path / "b.npz")
    assert close == pytest.approx(5e-5, rel=0.1)
    with pytest.raises(InputError, match="encode: the result of PyTorch is off by"):
        measure.difference("encode", "PyTorch", tmp_path / "a.npz", tmp_path / "c.npz")


def test_a_missing_pytorch_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--peer needs PyTorch.*pip install torch"):
        benchmark.check_peer(argparse.Namespace())


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--frames", "8", "0"), "frames=0 must be a whole number of at least 1"),
        (("--size", "8"), "size=8 must be a whole number of at least 16"),
        (("--size", "16", "16", "16"), "3 values"),
        (("--runs", "0"), "runs=0"),
        (("--use_tile",), "train steps are not tiled"),
        (("--part",), "say what to measure"),
        (("--memory_frames", "9"), "two different numbers"),
        (("--output_path", "."), "is a folder"),
        (("--model_config", "nothing.yaml"), "nothing.yaml"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(monkeypatch, tmp_path, model_file, flags, words):
    monkeypatch.chdir(tmp_path)
    given = () if "--model_config" in flags else ("--model_config", str(model_file))
    with pytest.raises(InputError, match=words):
        benchmark.main([*given, *flags])
    assert list(tmp_path.iterdir()) == [model_file]


def test_a_peer_is_a_tae(tmp_path):
    vae = families.build("image_vae", {"block_out_channels": [8, 8], "norm_num_groups": 2})
    with pytest.raises(InputError, match="of the family tae or opensora_vae, not image_vae"):
        benchmark.check_peers_model(vae, [])
    sizes = {
        "spatial_channels": (8, 8),
        "spatial_groups": 2,
        "temporal_channels": 8,
        "temporal_groups": 2,
        "temporal_blocks": 1,
    }
    vae = families.build("opensora_vae", sizes)
    with pytest.raises(InputError, match="no train for the family opensora_vae"):
        benchmark.check_peers_model(vae, [], ["encode", "train"])


def test_a_process_tells_what_is_wrong_in_one_line(model_file, tmp_path):
    done = run(
        *(TOOL, "--model_config", model_file, "--part", "encode", "--size", "16", "--dtype", "bf16"),
        cwd=tmp_path,
        code=2,
    )
    check_one_line_error(done, "encode of 8x16x16 by mg", "bf16 does not run on a CPU")


@pytest.mark.slow
def test_the_tool_from_end_to_end(model_file, tmp_path):
    flags = ("--part", "encode", "decode", "--frames", "4", "--size", "16", "24", "--runs", "2", "--profile")
    tiles = ("--use_tile", "--encode_tile", "2", "--decode_tile", "2", "--decode_overlap", "0")
    done = run(TOOL, "--model_config", model_file, *flags, *tiles, "--output_path", "out/figures.json", cwd=tmp_path)
    result = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert result["model"]["ch_mult"] == [1, 2]
    assert result["machine"]["mindspore"] == ms.__version__
    model = families.build("tae", TWO_LEVELS, "fp32")
    model.tiles = model.tiles.but(encode_tile=2, decode_tile=2, decode_overlap=0)
    assert result["family"] == "tae"
    for part, row in zip(("encode", "decode"), result["parts"]):
        assert (row["part"], row["by"], row["frames"], row["height"], row["width"]) == (part, "mg", 4, 16, 24)
        assert row["gflop"] == counting.count_tiled(model, part, (4, 16, 24)) / 1e9
        assert row["gflops"] == pytest.approx(row["gflop"] / row["median_s"])
        assert len(row["runs_s"]) == 2
        assert row["min_s"] <= row["median_s"] <= row["max_s"]
        assert 0.1 < row["peak_gb"] < 20
        assert row["matmul_gflops"] > 0
        assert f"| {part} tiled | 4x16x24 | mg |" in done.stdout
        with open(tmp_path / "out" / f"figures.{part}_4x16x24.csv", newline="") as file:
            operators = list(csv.DictReader(file))
        assert sum(float(operator["share"]) for operator in operators) == pytest.approx(1, abs=0.01)
        assert any("conv_in" in operator["name"] for operator in operators if operator["operator"] == "Conv2D")
        assert next(o["calls"] for o in row["operators"] if o["operator"] == "Conv2D") > 20
    assert "share" in done.stdout


def test_peers_take_the_same_step_without_mindspore(model_file, tmp_path):
    pytest.importorskip("torch")
    flags = ("--part", "train", "--frames", "5", "--size", "16", "--runs", "1", "--peer")
    done = run(TOOL, "--model_config", model_file, *flags, cwd=tmp_path)
    ours, *peers = json.loads((tmp_path / "benchmark.json").read_text())["parts"]
    assert [(row["part"], row["by"]) for row in peers] == [("train", "PyTorch"), ("train", "PyTorch, channels last")]
    assert ours["by"] == "mg" and "ratio" not in ours
    for row in peers:
        assert row["difference"] <= 2e-4
        assert row["ratio"] == pytest.approx(ours["median_s"] / row["median_s"])
        assert ours["gflop"] == row["gflop"]  # 3 latent frames
    assert "mg / peer" in done.stdout
    check = "import sys; sys.path.insert(0, sys.argv[1]); import torch_side; print('mindspore' in sys.modules)"
    (tmp_path / "check.py").write_text(check)
    assert run(str(tmp_path / "check.py"), ROOT / "tools/benchmark", cwd=tmp_path).stdout.strip() == "False"


@pytest.mark.slow
def test_measured_memory_grows_by_at_least_what_is_counted(tmp_path):
    """What is kept must all be there at once. A CPU needs more, measured: 3.9 times as much; why is not known."""
    (tmp_path / "nano.yaml").write_text(yaml.safe_dump({**FOUR_LEVELS, "ch_mult": list(FOUR_LEVELS["ch_mult"])}))
    flags = ("--model_config", "nano.yaml", "--part", "--memory_frames", "16", "24", "--size", "192")
    run(TOOL, *flags, cwd=tmp_path)
    rows = json.loads((tmp_path / "benchmark.json").read_text())["memory"]["rows"]
    model = families.build("tae", FOUR_LEVELS, "fp32")
    few, many = (counting.count(model, "forward", (row["frames"], 192, 192), 4, on_cpu=True).kept() for row in rows)
    counted, grown = many - few, (rows[1]["peak_gb"] - rows[0]["peak_gb"]) * 1e9
    assert counted > 400e6
    assert counted < grown < 5 * counted
