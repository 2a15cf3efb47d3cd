"""Padding along one axis of a tensor."""

from mindspore import Tensor, ops


def replicate_pad(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Repeat the first slice of `axis` `before` times in front and the last slice `after` times behind."""
    if before == 0 and after == 0:
        return x
    first, last = _slice(x, axis, 0), _slice(x, axis, x.shape[axis] - 1)
    return ops.concat([first] * before + [x] + [last] * after, axis)


def zero_pad(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Put `before` slices of zeros in front of `axis` and `after` behind."""
    if before == 0 and after == 0:
        return x
    zeros = ops.zeros_like(_slice(x, axis, 0))
    return ops.concat([zeros] * before + [x] + [zeros] * after, axis)


def pad_to_multiple(x: Tensor, axis: int, multiple: int) -> Tensor:
    """Repeat the last slice of `axis` until its length is a multiple of `multiple`."""
    return replicate_pad(x, axis, 0, -x.shape[axis] % multiple)


def pad_sides(x: Tensor, multiple: int) -> Tensor:
    """(..., H, W) of five axes with H and W up to multiples: the last row and column, repeated."""
    return pad_to_multiple(pad_to_multiple(x, 3, multiple), 4, multiple)


def _slice(x: Tensor, axis: int, index: int) -> Tensor:
    return x[(slice(None),) * axis + (slice(index, index + 1),)]
