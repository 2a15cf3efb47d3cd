"""Padding along one axis of a tensor."""

from mindspore import Tensor, ops


def replicate_pad(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Repeat the first slice of `axis` `before` times in front and the last slice `after` times behind."""
    parts = []
    if before > 0:
        parts.append(_repeat(_slice(x, axis, 0), axis, before))
    parts.append(x)
    if after > 0:
        parts.append(_repeat(_slice(x, axis, x.shape[axis] - 1), axis, after))
    return ops.concat(parts, axis) if len(parts) > 1 else x


def zero_pad(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Put `before` slices of zeros in front of `axis` and `after` behind."""
    zeros = ops.zeros_like(_slice(x, axis, 0))
    return ops.concat((_repeat(zeros, axis, before), x, _repeat(zeros, axis, after)), axis)


def pad_to_multiple(x: Tensor, axis: int, multiple: int) -> Tensor:
    """Repeat the last slice of `axis` until its length is a multiple of `multiple`."""
    return replicate_pad(x, axis, 0, -x.shape[axis] % multiple)


def _slice(x: Tensor, axis: int, index: int) -> Tensor:
    return x[(slice(None),) * axis + (slice(index, index + 1),)]


def _repeat(x: Tensor, axis: int, times: int) -> Tensor:
    shape = x.shape
    return ops.broadcast_to(x, shape[:axis] + (times,) + shape[axis + 1 :])
