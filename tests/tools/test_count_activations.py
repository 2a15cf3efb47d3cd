"""Activations on paper: by hand, against what the package's cells see, how they grow, and the script."""

import json
import sys
from collections import Counter

import mindspore as ms
import numpy as np
import pytest
import yaml
from conftest import NANO, ROOT, check_one_line_error, run
from mindspore import Tensor, ops

sys.path.insert(0, str(ROOT / "tools"))

import activation_bytes as activations
import count_activations
from activation_bytes import Form, Layer
from count_flops import Size

from mg.models.layers.attention import Attend, Linear
from mg.models.layers.conv import Conv2d
from mg.models.layers.by_device import ScaleAndShiftRows
from mg.models.tae.config import TAEConfig
from mg.models.tae.forward import TAEForward, blocks_by_level
from mg.models.tae.tae import TemporalAutoencoder

TOOL = "tools/count_activations.py"
CONFIG = TAEConfig(**NANO)
BF16, FP32 = Form(2), Form(4)
UPSTREAM = Form(2, upstream=True)


def test_a_residual_block_is_counted_as_by_hand():
    # 2 frames of 3x4, 4 -> 8 channels, 2 groups, bf16. A frame has 12 pixels, the clip 24, the padded clip 48.
    norms = 4 * (24 * 4 + 2 * (2 + 2 * 4)) + 4 * (24 * 8 + 2 * (2 + 2 * 8))
    silus = 2 * 24 * 4 + 2 * 24 * 8
    spatial = 2 * 24 * 4 + 2 * 24 * 8
    over_time = 2 * (2 * 48 * 8)
    shortcut = 2 * 24 * 4
    block = activations.residual_block("block", 0, BF16, Size(2, 3, 4), 4, 8, 2)
    assert block.kept == norms + silus + spatial + over_time + shortcut
    assert (block.block_input, block.again) == (shortcut, block.kept - shortcut)
    same = activations.residual_block("block", 0, BF16, Size(2, 3, 4), 8, 8, 2)
    on_cpu, plain = (
        activations.residual_block("block", 0, form, Size(2, 3, 4), 4, 8, 2) for form in (Form(4, on_cpu=True), FP32)
    )
    assert on_cpu.kept - plain.kept == 4 * 24 * (4 + 8)
    assert same.again == same.kept == 2 * (4 * (24 * 8 + 2 * 18) + 2 * (24 * 8 + 24 * 8 + 48 * 8))


def test_upstreams_residual_block_is_counted_as_by_hand():
    norms = 2 * 24 * (4 + 8) + 2 * (4 * 2 * 2)
    silus = 2 * (2 * 24 * (4 + 8))
    convolutions = 2 * 24 * (4 + 8) + 2 * (2 * 48 * 8)
    shortcut = 2 * 24 * (4 + 8)
    block = activations.residual_block("block", 0, UPSTREAM, Size(2, 3, 4), 4, 8, 2)
    assert block.kept == norms + silus + convolutions + shortcut
    assert block.again == block.kept - 2 * 24 * 4
    copies = activations.residual_block("block", 0, Form(2, upstream=True, copies=1), Size(2, 3, 4), 4, 8, 2)
    assert copies.kept == block.kept + 3 * (2 * 24 * 8)


@pytest.mark.parametrize("form, cast", [(BF16, 2), (FP32, 0)])
def test_attention_is_counted_as_by_hand(form, cast):
    # 3 sequences of 5 tokens of 8 channels
    assert activations.attention(form, 3, 5, 8) == 5 * form.element * 120 + (4 + cast) * 75


def test_recomputed_blocks_keep_their_input_and_the_largest_is_there_once():
    layers = [
        Layer("conv", 0, 1000),
        Layer("a", 0, 500, 10, 490),
        Layer("b", 0, 300, 20, 300),
        Layer("c", 1, 90, 5, 90),
    ]
    assert [activations.kept(layers, levels) for levels in range(3)] == [1890, 1000 + 30 + 490 + 90, 1000 + 35 + 490]


def test_the_blocks_are_those_that_training_recomputes():
    levels = blocks_by_level(TemporalAutoencoder(NANO))
    layers = activations.step(CONFIG, Size(8, 16, 16), BF16)
    counted = Counter(layer.level for layer in layers if layer.block_input)
    assert counted == {level: len(blocks) for level, blocks in enumerate(levels)}


def test_parts_add_up():
    clip, latents = Size(16, 32, 32), Size(2, 4, 4)
    layers = activations.step(CONFIG, clip, BF16)
    parts = activations.encoder(CONFIG, clip, BF16) + activations.decoder(CONFIG, latents, BF16)
    assert activations.kept(layers) == activations.kept(parts) == sum(layer.kept for layer in layers)
    row = count_activations.count(CONFIG, clip, "mg", BF16)
    assert sum(row["by_level"]) == row["by_recomputed_levels"][0] == activations.kept(layers)
    assert len({layer.name for layer in layers}) == len(layers)


@pytest.mark.parametrize("form", [BF16, FP32, UPSTREAM])
def test_growth_is_linear_but_for_attention(form):
    def bend(sizes):
        """Second difference, of all layers but one kind of attention, and of that."""
        kinds = {"temporal": [], "spatial": [], "other": []}
        for size in sizes:
            layers = activations.step(CONFIG, size, form)
            for kind, totals in kinds.items():
                of_kind = (kind_of(layer.name) == kind for layer in layers)
                totals.append(sum(layer.kept for layer, is_it in zip(layers, of_kind) if is_it))
        return {kind: first - 2 * second + third for kind, (first, second, third) in kinds.items()}

    def kind_of(name):
        return name.rpartition(".")[2].partition("_attention")[0] if name.endswith("_attention") else "other"

    score = 4 + (form.element if form.element < 4 else 0)
    over_time = bend([Size(frames, 16, 32) for frames in (16, 24, 32)])
    assert over_time == {"temporal": 2 * score * (2 * 4) * (4 - 2 * 9 + 16), "spatial": 0, "other": 0}
    over_space = bend([Size(16, 16, width) for width in (16, 32, 48)])
    assert over_space == {"temporal": 0, "spatial": 2 * score * 2 * (16 - 2 * 64 + 144), "other": 0}


@pytest.fixture
def seen(monkeypatch):
    """Bytes of the tensors that the package's own cells see in pynative mode, by what keeps them."""
    seen = Counter()

    def watch(owner, name, count):
        function = getattr(owner, name)

        def watched(*inputs):
            for what, size in count(*inputs).items():
                seen[what] += 4 * size
            return function(*inputs)

        monkeypatch.setattr(owner, name, watched)

    watch(Conv2d, "without_bias", lambda cell, x: {"convolution": x.size})
    watch(ScaleAndShiftRows, "construct", lambda cell, x, scale, shift: {"norm": x.size + 2 * scale.size})
    watch(ops, "silu", lambda x: {"silu": x.size})
    watch(ops, "rsqrt", lambda x: {"norm": x.size})
    watch(ops, "softmax", lambda x, axis: {"attention": x.size})
    watch(Linear, "construct", lambda cell, x: {"attention": x.size})
    # Query, key and value are three tensors; the tokens that they come from are one, and were seen three times.
    watch(Attend, "construct", lambda cell, query, key, value: {"attention": 3 * query.size - 2 * query.size})
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield seen
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.mark.parametrize("clip", [(8, 16, 32), (17, 30, 16)])
def test_a_step_sees_what_is_counted(random_nano, seen, clip):
    forward = TAEForward(random_nano)
    shape = (1, 3, *clip)
    forward(Tensor(np.zeros(shape, np.float32)), Tensor(np.zeros(forward.noise_shape(shape), np.float32)))
    random_nano.set_train(False)
    assert min(seen[what] for what in ("convolution", "norm", "silu", "attention")) > 0
    assert sum(seen.values()) == activations.kept(activations.step(CONFIG, Size(*clip), FP32))


def test_the_script_writes_what_it_prints(tmp_path):
    (tmp_path / "nano.yaml").write_text(yaml.safe_dump({**NANO, "ch_mult": list(NANO["ch_mult"])}))
    done = run(TOOL, "--model_config", "nano.yaml", "--frames", "9", "--size", "32", "48", "--upstream", cwd=tmp_path)
    written = json.loads((tmp_path / "activations.json").read_text())
    rows = written["activations"]
    assert [row["network"] for row in rows] == ["mg", "upstream", "upstream, copies"] * 2
    assert [row["frames"] for row in rows] == [9] * 3 + [32] * 3
    assert rows[0] == count_activations.count(CONFIG, Size(9, 32, 48), "mg", BF16)
    assert rows[1]["by_recomputed_levels"] < rows[2]["by_recomputed_levels"]
    parameters = sum(p.size for p in TemporalAutoencoder(NANO).get_parameters())
    assert written["parameters"] == parameters and sum(written["state"].values()) == 22 * parameters
    largest = f"{rows[3]['by_recomputed_levels'][0] / 1e9:.2f}"
    assert any("32x256x256" in line and largest in line for line in done.stderr.splitlines() + done.stdout.splitlines())


@pytest.mark.parametrize(
    "flags, words",
    [(("--frames", "0"), "frames=0"), (("--size", "8"), "size=8"), (("--size", "16", "16", "16"), "3 values")],
)
def test_wrong_flags_are_refused(flags, words, tmp_path):
    check_one_line_error(run(TOOL, *flags, cwd=tmp_path, code=2), words)


@pytest.mark.slow
def test_measured_memory_grows_by_at_least_what_is_counted(tmp_path):
    """What is kept must all be there at once. A CPU needs more, measured: 3.9 times as much; why is not known."""
    (tmp_path / "nano.yaml").write_text(yaml.safe_dump({**NANO, "ch_mult": list(NANO["ch_mult"])}))
    flags = ("--model_config", "nano.yaml", "--part", "--memory_frames", "16", "24", "--size", "192")
    run("tools/benchmark.py", *flags, cwd=tmp_path)
    rows = json.loads((tmp_path / "benchmark.json").read_text())["memory"]["rows"]
    few, many = (
        activations.kept(activations.step(CONFIG, Size(row["frames"], 192, 192), Form(4, on_cpu=True))) for row in rows
    )
    counted, grown = many - few, (rows[1]["peak_gb"] - rows[0]["peak_gb"]) * 1e9
    assert counted > 400e6
    assert counted < grown < 5 * counted
