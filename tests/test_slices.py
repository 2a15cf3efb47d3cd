"""Sizes of slices, against the rule computed by hand."""

import pytest

from mg.errors import InputError
from mg.slices import part_of, slice_of, sliced


@pytest.mark.parametrize(
    "edge, size, covered",
    [
        (1080, 352, 1056),  # three of 352 leave 24, two of 512 leave 56
        (640, 320, 640),
        (1024, 512, 1024),
        (720, 352, 704),  # two of 352 leave 16
        (320, 320, 320),
    ],
)
def test_the_slice_that_leaves_least_is_taken_and_of_equals_the_larger(edge, size, covered):
    assert slice_of(edge, 512, 320, 32) == size
    assert sliced(edge, (512, 320, 32)) == covered


def test_parts_of_latents_are_the_smallest_that_divide():
    assert [part_of(edge, 64, 32) for edge in (80, 40, 132, 64)] == [40, 40, 33, 32]
    with pytest.raises(InputError, match="67 latents have no divisor from 32 to 64"):
        part_of(67, 64, 32)
    with pytest.raises(InputError, match="a frame's side of 100 is less than a slice of 320"):
        sliced(100, (512, 320, 32))
