"""Counted costs: by hand, against records of full sizes, against PyTorch, and how they grow."""

import json
import re
import sys

import mindspore as ms
import numpy as np
import pytest
import yaml
from conftest import FOUR_LEVELS, ROOT
from mindspore import Tensor, ops

sys.path.insert(0, str(ROOT / "tools/benchmark"))

import count as script
from counting import Counter, count, count_tiled

from mg.errors import InputError
from mg.models import families
from mg.models.layers.attention import Linear, SpatialAttention
from mg.models.layers.conv import Conv2_5d
from mg.models.layers.norm import GroupNorm
from mg.models.layers.resnet import ResidualBlock

ELEMENTS = {"bf16": (2, False), "fp32": (4, False), "fp32 on a CPU": (4, True)}


@pytest.fixture(scope="module")
def tae():
    return families.build("tae", FOUR_LEVELS, "fp32")


@pytest.fixture(scope="module")
def vae():
    return families.build("image_vae")


def watched(cell, shape, element=0, on_cpu=False, training=True):
    counter = Counter(element, on_cpu)
    with counter.watching(), counter.blocks_of([[cell]]):
        cell.set_train(training)(Tensor(np.zeros(shape, np.float32)))
    return counter


def test_convolutions_are_counted_as_by_hand():
    # 32 pixels of 3 -> 8 channels by 3x3, then 8 -> 8 by 3 over time
    assert watched(Conv2_5d(3, 8), (1, 2, 3, 4, 4)).operations == 2 * 32 * 3 * 8 * 9 + 2 * 32 * 8 * 8 * 3
    # outside of training joined: 3 frames of 3 channels -> 20 by 3x3; and kernels and biases are added up before
    joined = 2 * 32 * 9 * 20 * 9
    weights = 3 * (2 * 20 * 20 * 27) + 2 * 20 * 20 * 3
    assert watched(Conv2_5d(3, 20), (1, 2, 3, 4, 4), training=False).operations == joined + weights


def test_attention_is_counted_as_by_hand():
    # 3 frames of 5 tokens of 8 channels: four linear layers, scores, mixing; the norm keeps values of its own
    norm = 4 * (120 + 3 * (2 + 16))
    for element, cast in ((2, 2), (4, 0)):
        counter = watched(SpatialAttention(8, 2, "frame"), (1, 3, 8, 1, 5), element)
        assert counter.operations == 4 * (2 * 15 * 64) + 2 * (2 * 3 * 25 * 8)
        assert counter.blocks[0].kept - norm == 5 * element * 120 + (4 + cast) * 75


def test_a_residual_block_is_counted_as_by_hand():
    # 2 frames of 3x4, 4 -> 8 channels, 2 groups, bf16. A frame has 12 pixels, the clip 24, the padded clip 48.
    norms = 4 * (24 * 4 + 2 * (2 + 2 * 4)) + 4 * (24 * 8 + 2 * (2 + 2 * 8))
    silus = 2 * 24 * 4 + 2 * 24 * 8
    convolutions = 2 * 24 * 4 + 2 * 24 * 8 + 2 * (2 * 48 * 8)
    shortcut = 2 * 24 * 4
    block = ResidualBlock(4, 8, 2, "frame")
    (counted,) = watched(block, (1, 2, 4, 3, 4), 2).blocks
    assert counted.kept == norms + silus + convolutions + shortcut
    assert (counted.input_bytes, counted.again) == (shortcut, counted.kept - shortcut)
    plain, on_cpu = (watched(block, (1, 2, 4, 3, 4), 4, on_cpu).blocks[0] for on_cpu in (False, True))
    assert on_cpu.kept - plain.kept == 4 * 24 * (4 + 8)
    (same,) = watched(ResidualBlock(8, 8, 2, "frame"), (1, 2, 8, 3, 4), 2).blocks
    assert same.again == same.kept == 2 * (4 * (24 * 8 + 2 * 18) + 2 * (24 * 8 + 24 * 8 + 48 * 8))


# What an earlier version of this repository counted by formulas of its own that repeated the network.
OPERATIONS = {
    (16, 40, 28): (100741120, 181657600, None),
    (1, 16, 16): (1679104, 3314944, None),
    (8, 16, 32): (None, None, 82532352),
    (17, 30, 16): (None, None, 483677184),
}
KEPT = {
    ((8, 16, 32), "bf16"): [1470848, 1323104, 1176768, 1128704, 1103504],
    ((8, 16, 32), "fp32"): [2513184, 2283520, 2045024, 1964192, 1922864],
    ((8, 16, 32), "fp32 on a CPU"): [2934560, 2639360, 2347616, 2252448, 2203952],
    ((17, 30, 16), "bf16"): [8256920, 5359240, 4598008, 4429864, 4368600],
    ((17, 30, 16), "fp32"): [13544632, 9098664, 7901208, 7633736, 7538424],
    ((17, 30, 16), "fp32 on a CPU"): [16480952, 10691496, 9174552, 8842568, 8725752],
}
# Of weights alone, which the formulas left out: kernels that are added up before they are used, biases likewise.
SUMMED = {(16, 40, 28): (14592, 209718), (1, 16, 16): (14592, 188982)}


def third_taps(latents):
    """Of doubled frames, which are computed with three taps, one of them zero, where the formulas count two."""
    frames, height, width = latents
    levels = enumerate((16, 16, 8))  # channels
    return sum(4 * c**2 * frames * 2**n * height * 2 ** (n + 1) * width * 2 ** (n + 1) for n, c in levels)


@pytest.mark.parametrize("clip", OPERATIONS)
def test_operations_are_those_of_the_record(tae, clip):
    *ways, step = OPERATIONS[clip]
    if step is None:
        recorded = [operations + summed for operations, summed in zip(ways, SUMMED[clip])]
        recorded[1] += third_taps((2, 5, 4)) if clip[0] > 1 else 0
        assert [count(tae, part, clip).operations for part in ("encode", "decode")] == recorded
    else:
        assert 3 * count(tae, "forward", clip).operations == step


@pytest.mark.parametrize("clip, form", KEPT)
def test_bytes_are_those_of_the_record(tae, clip, form):
    counter = count(tae, "forward", clip, *ELEMENTS[form])
    assert [counter.kept(levels) for levels in range(5)] == KEPT[clip, form]
    assert len(counter.blocks) == sum(map(len, tae.recompute_levels()))


@pytest.mark.slow
def test_full_sizes():
    """SD3.5's sizes, 8x128x128: 396 GFLOP to encode as it is trained, 385 as it runs; a single latent frame decoded."""
    tae = families.build("tae", None, "fp32")
    assert count(tae, "encode", (8, 128, 128)).operations == pytest.approx(384.510722048e9, rel=1e-3)
    assert count(tae, "decode", (8, 128, 128)).operations == pytest.approx(179.140132864e9, rel=4e-3)
    step = count(tae, "forward", (8, 128, 128), 2)
    assert 3 * step.operations == 1797630492672
    assert [round(step.kept(levels) / 1e9, 3) for levels in range(5)] == [1.486, 1.016, 0.765, 0.68, 0.649]


@pytest.mark.parametrize("model, part", [("tae", "decode"), ("tae", "forward"), ("vae", "forward")])
def test_large_frames_are_carried_on_exactly(model, part, request, monkeypatch):
    model, clip = request.getfixturevalue(model), (3, 40, 64)
    from_small = count(model, part, clip, 2)
    monkeypatch.setattr(type(model), "min_size", 40)  # so that it is no larger than three of the smallest frames
    assert from_small.numbers == count(model, part, clip, 2).numbers


@pytest.mark.parametrize("shared", [False, True])
def test_tiles_are_counted_as_they_are_computed(tae, shared):
    before = tae.tiles
    sizes = {"encode_tile": 16, "encode_overlap": 8, "encode_context": 0, "decode_tile": 16, "decode_overlap": 8}
    tae.tiles = before.but(**sizes, spatial_tile=16, spatial_overlap=8, tile_batch=2, shared_statistics=shared)
    recorded = {False: (966721536, 1743519744), True: (1450082304, 2615279616)}[shared]  # as OPERATIONS
    counted = [count_tiled(tae, part, (37, 30, 40)) for part in ("encode", "decode")]
    tae.tiles = before
    tiles = 4 * (18 if shared else 12)  # windows, and tiles of a frame: six pairs, each with the reference or without
    recorded = recorded[0], recorded[1] + tiles * third_taps((2, 2, 2))
    assert counted == pytest.approx(recorded, rel=3e-3) and all(a > b for a, b in zip(counted, recorded))


def test_recomputed_blocks_keep_their_input_and_the_largest_is_there_once():
    counter = Counter(2)
    counter.elsewhere = 1000
    for level, kept, input_bytes, keeps_input in ((0, 500, 10, True), (0, 300, 20, False), (1, 90, 6, False)):
        x = ops.zeros((input_bytes // 2,))
        counter._enter(level, x)
        counter._keep(kept)
        counter._open.keeps_input = keeps_input
        counter._leave()
    assert [counter.kept(levels) for levels in range(3)] == [1890, 1000 + 30 + 490 + 90, 1000 + 36 + 490]


def test_nothing_is_left_behind(tae):
    def state():
        cells = (
            ops.Conv2D.__call__,
            ops.MatMul.__call__,
            ops.BatchMatMul.__call__,
            Linear.construct,
            GroupNorm.construct,
        )
        return *cells, ops.silu, ops.softmax, ms.get_context("mode"), tae.encoder.training, tae.decoder.training

    before = state()
    count(tae, "forward", (1, 16, 16))
    assert state() == before and before[-2:] == (False, False)
    with pytest.raises(RuntimeError), Counter().watching():
        raise RuntimeError
    assert state() == before


def test_no_operator_that_multiplies_is_left_out():
    """Networks are made of what has a stand-in; another convolution or matrix product needs one too."""
    names, pattern = set(), r"(?:ops|nn|mint|F)\.(\w*(?:[Cc]onv|[Mm]at[Mm]ul|bmm|Dense|einsum)\w*)"
    for path in (ROOT / "mg/models").rglob("*.py"):
        if path.parent.name != "lpips":
            names |= set(re.findall(pattern, path.read_text()))
    assert names == {"Conv2D", "MatMul", "BatchMatMul"}


def test_pytorch_counts_the_same_arithmetic(tae):
    torch = pytest.importorskip("torch")
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode
    from torch_tae import TAE

    peer = TAE(dict(tae.config)).requires_grad_(False)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        peer.encoder(torch.zeros((1, 3, 16, 32, 16)))
        peer.decoder(torch.zeros((1, 4, 2, 4, 2)))
    assert counter.get_total_flops() == count(tae, "forward", (16, 32, 16)).operations


def test_the_script_writes_what_it_prints(tae, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano.yaml").write_text(yaml.safe_dump({**FOUR_LEVELS, "ch_mult": list(FOUR_LEVELS["ch_mult"])}))
    script.main(["--model_config", "nano.yaml", "--frames", "8", "17", "--size", "30", "16"])
    written = json.loads((tmp_path / "costs.json").read_text())
    assert [row["frames"] for row in written["costs"]] == [8, 17]
    assert written["costs"][1]["kept_by_recomputed_levels"] == KEPT[(17, 30, 16), "bf16"]
    assert written["costs"][1]["operations"]["step"] == OPERATIONS[17, 30, 16][-1]
    parameters = sum(p.size for p in tae.get_parameters())
    assert written["parameters"] == parameters and sum(written["state"].values()) == 22 * parameters
    assert "| 17x30x16 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--frames", "0"), "frames=0"),
        (("--size", "8"), "size=8"),
        (("--size", "16", "16", "16"), "3 values"),
        (("--output_path", "."), "is a folder"),
        (("--ckpt_path", "a.ckpt", "--model_config", "a.yaml"), "leave --model_config out"),
    ],
)
def test_wrong_flags_are_refused(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nano.yaml").write_text(yaml.safe_dump({**FOUR_LEVELS, "ch_mult": list(FOUR_LEVELS["ch_mult"])}))
    given = () if "--ckpt_path" in flags else ("--model_config", "nano.yaml")
    with pytest.raises(InputError, match=words):
        script.main([*given, *flags])
    assert not (tmp_path / "costs.json").exists()
