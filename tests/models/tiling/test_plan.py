"""The plan of tiles, over many lengths, tiles and overlaps."""

import numpy as np
import pytest

from mg.errors import InputError
from mg.models.tiling.plan import BLENDS, Window, blend_weights, check_tile, edges, rising, sampled, windows

PAIRS = [(1, 0), (2, 1), (4, 0), (4, 1), (4, 2), (4, 3), (8, 5), (16, 4), (32, 8), (33, 32), (200, 7)]


def lengths(tile, overlap):
    """The smallest, those around where up to five windows and their context end, and one of many windows."""
    ends = (tile + count * (tile - overlap) for count in range(5))
    near = {end + offset for end in ends for offset in range(-7, 8)}
    return sorted(length for length in {*range(1, 12), *near, 4 * tile + 101} if length > 0)


@pytest.mark.parametrize("last_at_end", [False, True])
@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("tile, overlap", PAIRS)
def test_plans_cover_every_length_in_order_and_end_at_the_end(tile, overlap, blend, last_at_end):
    for length in lengths(tile, overlap):
        plan = windows(length, tile, overlap, last_at_end=last_at_end)
        assert plan[0].start == 0
        assert plan[-1].stop == length
        for before, after in zip(plan, plan[1:]):
            assert before.start < after.start <= before.stop < after.stop
            assert before.length == tile
        assert len(plan) <= max(1, -(-(length - overlap) // (tile - overlap)))
        if last_at_end:
            assert plan[-1].length == min(tile, length)
        total = np.zeros(length)
        for window, weight in zip(plan, blend_weights(plan, blend)):
            assert weight.shape == (window.length,)
            assert weight.min() > 0
            total[window.start : window.stop] += weight
        np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("tile, overlap", PAIRS)
def test_windows_with_context_reach_the_end_and_no_further(tile, overlap, context):
    for length in lengths(tile, overlap):
        plan = windows(length, tile, overlap, context=context)
        computed = [max(0, window.start - context) + tile + 2 * context for window in plan]  # where each one's stops
        assert plan[0].start == 0
        assert plan[-1].stop == length <= computed[-1]
        assert all(stop < length for stop in computed[:-1])  # not a window more than it takes
        for before, after in zip(plan, plan[1:]):
            assert before.length == tile
            assert after.start == before.stop - overlap < after.stop


def test_the_ramp_is_linear():
    first, second = blend_weights([Window(0, 6), Window(2, 8)])
    np.testing.assert_allclose(first, [1, 1, 7 / 8, 5 / 8, 3 / 8, 1 / 8])
    np.testing.assert_allclose(second, [1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1])


def test_the_cosine_is_flat_at_both_ends_and_the_mean_everywhere():
    _, second = blend_weights([Window(0, 68), Window(4, 72)], "cosine")
    assert second[:8].max() < 0.001
    assert second[7] < second[10] < 0.02
    assert second[31] == pytest.approx(0.5, abs=0.02)
    assert second[56:].min() > 0.999
    _, second = blend_weights([Window(0, 6), Window(2, 8)], "mean")
    np.testing.assert_allclose(second, [0.5] * 4 + [1, 1])


@pytest.mark.parametrize("overlap", [4, 8, 16, 20, 24, 64])
def test_edges_are_where_windows_and_their_ramps_start_and_end(overlap):
    plan = windows(2 * 128 - overlap, 128, overlap)
    start, stop = 128 - overlap, 128
    assert edges(plan) == edges(plan, "mean") == [start, stop]
    moves = np.flatnonzero(np.diff(rising(overlap, "cosine"))) + 1  # lines across which the weights change
    assert edges(plan, "cosine") == sorted({start, start + moves[0], start + moves[-1], stop})
    assert edges(windows(384, 128, 0), "cosine") == [128, 256]


@pytest.mark.parametrize("tile", [1, 2, 12, 32, 100])
def test_a_sample_of_an_axis_is_spread_over_all_of_it(tile):
    for length in range(1, 201):
        indices = sampled(length, tile)
        assert len(indices) == min(length, tile)
        assert indices.min() >= 0
        assert indices.max() < length
        assert (np.diff(indices) >= (1 if length <= tile else -tile)).all()
    indices = sampled(1000, 32)
    np.testing.assert_array_equal(indices[:8], [0, 1, 2, 3, 142, 143, 144, 145])
    assert indices[-1] == 999


@pytest.mark.parametrize(
    "tile, overlap, words",
    [
        (0, 0, "encode_tile=0"),
        (-8, 0, "encode_tile=-8"),
        (12, 0, "encode_tile=12 must be a positive multiple of 8"),
        (8.0, 0, "encode_tile=8.0"),
        (32, 4, "encode_overlap=4"),
        (32, -8, "encode_overlap=-8"),
        (32, 32, "encode_overlap=32 must be less than encode_tile=32"),
        (32, 40, "encode_overlap=40 must be less"),
    ],
)
def test_bad_tiles_are_refused_naming_the_field(tile, overlap, words):
    with pytest.raises(InputError, match=words):
        check_tile("encode_tile", tile, overlap, 8, 8)
    check_tile("encode_tile", 32, 24, 8, 8)


@pytest.mark.parametrize(
    "tile, overlap, words", [(16, 0, "encode_tile=16 must be 1 and a multiple of 4"), (17, 2, "of 4")]
)
def test_tiles_of_a_model_that_takes_its_first_frame_alone(tile, overlap, words):
    with pytest.raises(InputError, match=words):
        check_tile("encode_tile", tile, overlap, 1, 4)
    check_tile("encode_tile", 17, 4, 1, 4)
    check_tile("encode_tile", 1, 0, 1, 4)
