"""The moving average: its values, and exchanging it with the weights."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mg.training.ema import Ema


class Line(nn.Cell):
    """slope * x + offset."""

    def __init__(self):
        super().__init__()
        self.slope = Parameter(Tensor(np.array([1.5, -2.0], np.float32)), name="slope")
        self.offset = Parameter(Tensor(np.array(0.25, np.float32)), name="offset")

    def construct(self, x):
        return self.slope * x + self.offset


KEEP, SKIP = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)


def moved(line, seed):
    """Give the weights new values and return them."""
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(p.shape).astype(np.float32) for p in line.trainable_params()]
    for p, value in zip(line.trainable_params(), values):
        p.set_data(Tensor(value))
    return values


def test_the_average_follows_the_weights():
    line = Line()
    ema = Ema(line.trainable_params(), decay=0.9)
    expected = [p.asnumpy().astype(np.float64) for p in line.trainable_params()]
    for step in range(5):
        for average, value in zip(expected, moved(line, step)):
            average += 0.1 * (value - average)
        ema(KEEP)
        kept = [p.asnumpy().tobytes() for p in ema.averages]
        ema(SKIP)
        assert [p.asnumpy().tobytes() for p in ema.averages] == kept
    for average, wanted in zip(ema.averages, expected):
        np.testing.assert_allclose(average.asnumpy(), wanted, rtol=0, atol=1e-7)
    assert [p.name for p in ema.averages] == ["ema.slope", "ema.offset"]
    assert not any(p.requires_grad for p in ema.averages)


def test_averages_start_as_copies():
    line = Line()
    ema = Ema(line.trainable_params(), decay=0.9)
    moved(line, 0)
    np.testing.assert_array_equal(ema.averages[0].asnumpy(), np.array([1.5, -2.0], np.float32))


def test_a_compiled_graph_sees_the_swap_and_the_weights_come_back_exactly():
    line, x = Line(), Tensor(np.array([3.0, 5.0], np.float32))
    ema = Ema(line.trainable_params(), decay=0.9)
    moved(line, 1)
    own = line(x).asnumpy().copy()
    before = [p.asnumpy().tobytes() for p in line.trainable_params()]
    averages = [p.asnumpy().tobytes() for p in ema.averages]
    with ema.swapped():
        np.testing.assert_array_equal(line(x).asnumpy(), np.array([4.75, -9.75], np.float32))
        moved(line, 2)
    assert [p.asnumpy().tobytes() for p in line.trainable_params()] == before
    assert [p.asnumpy().tobytes() for p in ema.averages] == averages
    np.testing.assert_array_equal(line(x).asnumpy(), own)


def test_the_weights_come_back_after_an_exception():
    line = Line()
    ema = Ema(line.trainable_params(), decay=0.9)
    before = moved(line, 3)
    with pytest.raises(RuntimeError, match="stop"), ema.swapped():
        raise RuntimeError("stop")
    for p, value in zip(line.trainable_params(), before):
        np.testing.assert_array_equal(p.asnumpy(), value)
