"""The causal convolution against a plain sum over its taps, in both of its forms."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor, ops

from mg.models.layers.causal import CausalConv

RNG = np.random.default_rng(5)


def plain(x: np.ndarray, weight: np.ndarray, stride: tuple[int, int], front: int) -> np.ndarray:
    """The convolution as it is defined: (B, T, C, H, W) and (C', C, 3, 3, 3) -> (B, T', C', H', W')."""
    x = np.pad(x, ((0, 0), (front, 0), (0, 0), (1, 1), (1, 1)))
    over_time, over_space = stride
    result = 0
    for tap, row, column in np.ndindex(3, 3, 3):
        ends = x.shape[1] - 2 + tap, x.shape[3] - 2 + row, x.shape[4] - 2 + column
        seen = x[:, tap : ends[0] : over_time, :, row : ends[1] : over_space, column : ends[2] : over_space]
        result = result + np.einsum("btchw,oc->btohw", seen, weight[:, :, tap, row, column])
    return result


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("frames", "stride", "front"),
    [(1, (1, 1), 2), (1, (2, 2), 2), (5, (1, 1), 2), (5, (2, 2), 2), (6, (2, 1), 1), (5, (2, 1), 1), (4, (1, 2), 2)],
)
def test_taps_lie_where_the_definition_puts_them(frames, stride, front, training):
    conv = CausalConv(4, 6, stride=stride, front=front).set_train(training)
    x = RNG.standard_normal((2, frames, 4, 6, 8)).astype(np.float32)
    expected = plain(x, conv.weight.asnumpy(), stride, front)
    result = conv(Tensor(x)).asnumpy()
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_frames_before_a_piece_make_it_go_on_where_the_last_one_stopped():
    conv = CausalConv(4, 6)
    x = Tensor(RNG.standard_normal((1, 7, 4, 6, 8)).astype(np.float32))
    pieces = conv(x[:, :3]), conv(x[:, 3:], x[:, 1:3])
    np.testing.assert_allclose(ops.concat(pieces, 1).asnumpy(), conv(x).asnumpy(), atol=2e-6)


def test_a_kernel_of_one_sees_its_own_frame_alone():
    conv = CausalConv(4, 6, kernel=1)
    x = RNG.standard_normal((2, 3, 4, 6, 8)).astype(np.float32)
    expected = np.einsum("btchw,oc->btohw", x, conv.weight.asnumpy()[:, :, 0, 0, 0])
    np.testing.assert_allclose(conv(Tensor(x)).asnumpy(), expected, atol=2e-6)


def test_other_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel=5"):
        CausalConv(4, 6, kernel=5)
