"""Layers: identity starts, shapes, and agreement with plain NumPy."""

import numpy as np
import pytest
from conftest import random_clip
from mindspore import Tensor, ops

from mg.models.layers import attention
from mg.models.layers.attention import SpatialAttention, TemporalAttention
from mg.models.layers.by_device import AddToRows, FoldTime, ScaleAndShiftRows, UnfoldTime
from mg.models.layers.conv import Conv2_5d, SpatialConv, TemporalConv
from mg.models.layers.folds import channels_first, frames_first, from_pixels, to_pixels
from mg.models.layers.norm import GroupNorm
from mg.models.layers.pad import pad_to_multiple, replicate_pad, zero_pad
from mg.models.layers.resample import (
    SpatialUpsample,
    TemporalDownsample,
    TemporalUpsample,
    depth_to_space,
    repeat_frames,
)

pytestmark = pytest.mark.usefixtures("uncompiled")


def set_random(cell, seed=0):
    rng = np.random.default_rng(seed)
    for p in cell.get_parameters():
        p.set_data(Tensor(rng.standard_normal(p.shape, dtype=np.float32) * 0.3))
    return cell


def test_fresh_conv2_5d_equals_its_spatial_convolution():
    cell = Conv2_5d(3, 8)
    x = random_clip(2, 5, 3, 6, 7)
    np.testing.assert_allclose(cell(x).asnumpy(), cell.spatial(x).asnumpy(), atol=1e-6)


@pytest.mark.parametrize("channels", [(3, 20), (6, 4)])
@pytest.mark.parametrize("frames", [1, 4])
def test_conv2_5d_is_one_convolution_after_the_other(frames, channels):
    cell = set_random(Conv2_5d(*channels))
    x = random_clip(2, frames, channels[0], 6, 7)
    expected = cell.temporal(cell.spatial(x)).asnumpy()
    assert cell.joined == (channels == (3, 20))
    np.testing.assert_allclose(cell(x).asnumpy(), expected, atol=2e-6 * np.abs(expected).max())
    cell.set_train()
    np.testing.assert_allclose(cell(x).asnumpy(), expected, atol=2e-6 * np.abs(expected).max())


def test_spatial_conv_sees_each_frame_alone():
    cell = SpatialConv(3, 4)
    x = random_clip(1, 3, 3, 8, 8)
    alone = np.concatenate([cell(x[:, t : t + 1]).asnumpy() for t in range(3)], 1)
    np.testing.assert_allclose(cell(x).asnumpy(), alone, atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize(("stride", "padding"), [(1, (0, 0)), (1, (1, 1)), (2, (0, 2)), (2, (0, 0))])
def test_temporal_conv_is_a_sum_over_three_frames(stride, padding, zeros, training):
    cell = set_random(TemporalConv(4, stride, padding, zeros)).set_train(training)
    x = random_clip(2, 7, 4, 3, 5)
    weight, bias = cell.weight.asnumpy()[..., 0], cell.bias.asnumpy()
    pad = zero_pad if zeros else replicate_pad
    frames = pad(x, 1, *padding).asnumpy()
    last = frames.shape[1] - 2
    expected = sum(np.einsum("oc,btchw->btohw", weight[:, :, k], frames[:, k : last + k : stride]) for k in range(3))
    np.testing.assert_allclose(cell(x).asnumpy(), expected + bias[:, None, None], atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
def test_temporal_downsample_keeps_the_odd_frames_or_the_last(frames):
    x = random_clip(1, frames, 2, 3, 3)
    kept = [min(2 * k + 1, frames - 1) for k in range((frames + 1) // 2)]
    np.testing.assert_allclose(TemporalDownsample(2)(x).asnumpy(), x.asnumpy()[:, kept], atol=1e-6)


def test_temporal_downsample_with_padding_on_both_sides_keeps_the_even_frames():
    x = random_clip(1, 5, 2, 3, 3)
    np.testing.assert_allclose(TemporalDownsample(2, "both")(x).asnumpy(), x.asnumpy()[:, ::2], atol=1e-6)


def test_temporal_upsample_repeats_each_frame():
    x = random_clip(2, 3, 2, 3, 3)
    np.testing.assert_allclose(TemporalUpsample(2)(x).asnumpy(), np.repeat(x.asnumpy(), 2, 1), atol=1e-6)


def test_the_copies_of_a_single_frame_would_be_equal_whatever_the_weights():
    cell = set_random(TemporalUpsample(2))
    frame = random_clip(1, 1, 2, 3, 3)
    one = cell(frame).asnumpy()
    assert one.shape == frame.shape
    four = cell(Tensor(np.repeat(frame.asnumpy(), 2, 1))).asnumpy()
    np.testing.assert_allclose(four, np.repeat(one, 4, 1), atol=1e-6)


def test_temporal_upsample_does_not_darken_the_ends_unless_it_pads_with_zeros():
    ones = Tensor(np.ones((1, 2, 2, 3, 3), np.float32))
    mean = np.full((2, 2, 3, 1), 1 / 6, np.float32)
    darkened = {}
    for padding in ("replicate", "zeros"):
        cell = TemporalUpsample(2, padding)
        cell.conv.weight.set_data(Tensor(mean))
        darkened[padding] = cell(ones).asnumpy()[0, :, 0, 0, 0]
    np.testing.assert_allclose(darkened["replicate"], [1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(darkened["zeros"], [2 / 3, 1, 1, 2 / 3], atol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_spatial_upsample_repeats_pixels_before_its_convolution(training):
    cell = set_random(SpatialUpsample(3)).set_train(training)
    x = random_clip(2, 2, 3, 3, 4)
    repeated = Tensor(x.asnumpy().repeat(2, 3).repeat(2, 4))
    np.testing.assert_allclose(cell(x).asnumpy(), cell.conv(repeated).asnumpy(), atol=2e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("padding", ["replicate", "zeros"])
def test_temporal_upsample_repeats_frames_before_its_convolution(padding, training):
    cell = set_random(TemporalUpsample(3, padding)).set_train(training)
    x = random_clip(2, 3, 3, 4, 5)
    repeated = Tensor(x.asnumpy().repeat(2, 1))
    np.testing.assert_allclose(cell(x).asnumpy(), cell.conv(repeated).asnumpy(), atol=2e-6)


@pytest.mark.parametrize("over_time", [1, 2])
def test_depth_to_space_reads_channels_as_time_row_column_channel(over_time):
    x = random_clip(2, 3, over_time * 4 * 5, 2, 3)
    axes = x.asnumpy().reshape(2, 3, over_time, 2, 2, 5, 2, 3).transpose(0, 1, 2, 5, 6, 3, 7, 4)
    np.testing.assert_array_equal(depth_to_space(x, over_time).asnumpy(), axes.reshape(2, 3 * over_time, 5, 4, 6))


def test_frames_are_repeated_in_a_row():
    x = random_clip(2, 3, 4, 2, 3)
    np.testing.assert_array_equal(repeat_frames(x, 2).asnumpy(), np.repeat(x.asnumpy(), 2, 1))
    np.testing.assert_array_equal(repeat_frames(x, 1).asnumpy(), x.asnumpy())


@pytest.mark.parametrize("statistics", ["frame", "clip"])
def test_group_norm_against_numpy(statistics):
    cell = set_random(GroupNorm(3, 6, statistics))
    x = random_clip(2, 4, 6, 5, 7) * 2 + 3
    groups = x.asnumpy().astype(np.float64).reshape(2, 4, 3, 2, 5, 7)
    axes = (3, 4, 5) if statistics == "frame" else (1, 3, 4, 5)
    groups = (groups - groups.mean(axes, keepdims=True)) / np.sqrt(groups.var(axes, keepdims=True) + 1e-6)
    expected = groups.reshape(x.shape) * cell.weight.asnumpy()[:, None, None] + cell.bias.asnumpy()[:, None, None]
    np.testing.assert_allclose(cell(x).asnumpy(), expected, atol=2e-6)


@pytest.mark.parametrize("training", [False, True])
def test_group_norm_without_weights_has_no_parameters(training):
    norm = GroupNorm(2, 4, affine=False).set_train(training)
    x = random_clip(2, 3, 4, 2, 3)
    assert not list(norm.get_parameters())
    expected = GroupNorm(2, 4)(x).asnumpy()
    np.testing.assert_allclose(norm(x).asnumpy(), expected, atol=2e-6)


def test_group_norm_keeps_a_half_precision_type_and_computes_in_fp32():
    cell = GroupNorm(2, 4)
    x = random_clip(1, 2, 4, 5, 5) * 300
    half = cell(x.astype("float16"))
    assert str(half.dtype) == "Float16"
    np.testing.assert_allclose(half.asnumpy(), cell(x).asnumpy(), atol=5e-3)


def attention_in_numpy(cell, tokens):
    q, k, v = (tokens @ layer.weight.asnumpy().T + layer.bias.asnumpy() for layer in (cell.query, cell.key, cell.value))
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(tokens.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ v
    return mixed @ cell.projection.weight.asnumpy().T + cell.projection.bias.asnumpy()


def test_spatial_attention_against_numpy():
    cell = set_random(SpatialAttention(4, 2, "frame"))
    x = random_clip(2, 3, 4, 5, 6)
    tokens = cell.norm(x).asnumpy().reshape(2, 3, 4, 30).swapaxes(2, 3)
    expected = x.asnumpy() + attention_in_numpy(cell, tokens).swapaxes(2, 3).reshape(x.shape)
    np.testing.assert_allclose(cell(x).asnumpy(), expected, atol=1e-5)


def test_temporal_attention_against_numpy():
    cell = set_random(TemporalAttention(4, 2, "frame"))
    x = random_clip(2, 3, 4, 5, 6)
    tokens = cell.norm(x).asnumpy().transpose(0, 3, 4, 1, 2)
    expected = x.asnumpy() + attention_in_numpy(cell, tokens).transpose(0, 3, 4, 1, 2)
    np.testing.assert_allclose(cell(x).asnumpy(), expected, atol=1e-5)


def test_fresh_temporal_attention_is_the_identity():
    x = random_clip(1, 4, 8, 3, 3)
    np.testing.assert_array_equal(TemporalAttention(8, 2, "frame")(x).asnumpy(), x.asnumpy())


def test_attention_in_blocks_of_queries_gives_the_same_as_at_once(monkeypatch):
    tokens = [random_clip(2, 50, 4, seed=s) for s in range(3)]
    whole = attention.Attend()(*tokens).asnumpy()
    monkeypatch.setattr(attention, "MAX_SCORES", 2 * 50 * 7)
    pieces = []
    original = ops.concat
    monkeypatch.setattr(attention.ops, "concat", lambda parts, axis: pieces.append(len(parts)) or original(parts, axis))
    np.testing.assert_allclose(attention.Attend().construct(*tokens).asnumpy(), whole, atol=1e-6)
    assert pieces == [8]  # 7 blocks of 7 queries and one of 1


def test_folds_and_time_folds_are_inverse():
    x = random_clip(2, 3, 4, 5, 6)
    np.testing.assert_array_equal(channels_first(frames_first(x)).asnumpy(), x.asnumpy())
    np.testing.assert_array_equal(from_pixels(to_pixels(x), 2, 5, 6).asnumpy(), x.asnumpy())
    folded = FoldTime()(x)
    np.testing.assert_array_equal(folded.asnumpy(), x.asnumpy().swapaxes(1, 2).reshape(2, 4, 3, 30))
    np.testing.assert_array_equal(UnfoldTime()(folded, 5, 6).asnumpy(), x.asnumpy())


def test_cpu_kernels_equal_the_plain_operations_that_ascend_runs():
    clip, rows, values = random_clip(2, 3, 4, 5, 6), random_clip(6, 35), random_clip(6, seed=1)
    folded = clip.reshape(2, 3, 4, 30)
    for cell, inputs in (
        (FoldTime, (clip,)),
        (lambda: FoldTime(1, 2), (clip,)),
        (lambda: FoldTime(2, 1, zeros=True), (clip,)),
        (UnfoldTime, (folded, 5, 6)),
        (AddToRows, (rows, values)),
        (ScaleAndShiftRows, (rows, values, values + 1)),
        (lambda: GroupNorm(2, 4), (clip,)),
        (lambda: GroupNorm(2, 4, "clip"), (clip,)),
    ):
        on_cpu, elsewhere = cell(), cell()
        assert on_cpu.on_cpu
        elsewhere.on_cpu = False
        for fresh in (on_cpu, elsewhere):
            fresh.set_train(False)
        np.testing.assert_allclose(on_cpu(*inputs).asnumpy(), elsewhere(*inputs).asnumpy(), atol=1e-6)


def test_a_convolution_without_bias_has_none():
    conv = SpatialConv(2, 3, bias=False)
    assert [parameter.name for parameter in conv.get_parameters()] == ["weight"]
    assert np.abs(conv(Tensor(np.zeros((1, 2, 2, 4, 4), np.float32))).asnumpy()).max() == 0


def test_padding():
    x = Tensor(np.arange(3, dtype=np.float32).reshape(1, 3))
    assert replicate_pad(x, 1, 1, 2).asnumpy().tolist() == [[0, 0, 1, 2, 2, 2]]
    assert zero_pad(x + 1, 1, 1, 1).asnumpy().tolist() == [[0, 1, 2, 3, 0]]
    assert pad_to_multiple(x, 1, 4).asnumpy().tolist() == [[0, 1, 2, 2]]
    assert pad_to_multiple(x, 1, 3).shape == (1, 3)
