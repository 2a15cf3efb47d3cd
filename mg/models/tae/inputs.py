"""What may be given to encode and decode: checked, and brought to one form."""

from __future__ import annotations

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mg.checks import is_whole
from mg.errors import InputError

MIN_SIZE = 16
_FLOATS = (mstype.float32, mstype.float16, mstype.bfloat16, mstype.float64)


def enter_clip(x: Tensor | np.ndarray, dtype: mstype.Type) -> tuple[Tensor, bool]:
    """Clips or images of pixels, as `enter` has them, with sides of at least MIN_SIZE."""
    x, is_image = enter(x, "x", 3, dtype)
    if min(x.shape[3:]) < MIN_SIZE:
        raise InputError(f"x has frames of {x.shape[3]}x{x.shape[4]}; height and width must be at least {MIN_SIZE}")
    return x, is_image


def enter(x: Tensor | np.ndarray, name: str, channels: int, dtype: mstype.Type) -> tuple[Tensor, bool]:
    """(B, channels, T, H, W) of `dtype`, and whether T was added, from the same or (B, channels, H, W), floating.

    Raises InputError, calling the argument `name`, for any other shape, type or object.
    """
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.dtype.itemsize <= 8:
        x = Tensor(np.ascontiguousarray(x, x.dtype.newbyteorder("=")))
    if not isinstance(x, Tensor):
        kind = f"NumPy array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise InputError(f"{name} is a {kind}, but must be a MindSpore Tensor or a floating NumPy array")
    if x.ndim not in (4, 5) or x.shape[1] != channels or 0 in x.shape:
        raise InputError(
            f"{name} has shape {x.shape}, but must be (B, {channels}, T, H, W), "
            f"or (B, {channels}, H, W) for images, with no empty axis"
        )
    if x.dtype not in _FLOATS:
        raise InputError(
            f"{name} is {x.dtype}, but must be floating; mg.io.pixels.to_clip turns uint8 frames into clips"
        )
    x = x.astype(dtype)
    return (x.expand_dims(2), True) if x.ndim == 4 else (x, False)


def frames_to_keep(most: int, wanted: int | None, upstreams_name: int | None) -> int:
    """Of `most` decoded frames as many as are wanted, under either name; all for None.

    Raises InputError for names that disagree, and for a number that is not from 1 to `most`.
    """
    if wanted is not None and upstreams_name is not None and wanted != upstreams_name:
        raise InputError(f"num_target_frames={wanted} and target_num_frames={upstreams_name} disagree; give one")
    wanted = upstreams_name if wanted is None else wanted
    if wanted is None:
        return most
    if not _is_whole(wanted) or not 1 <= wanted <= most:
        raise InputError(
            f"num_target_frames={wanted!r} must be from 1 to {most}, the number of frames that are decoded"
        )
    return wanted


def checked_seed(seed: int | None) -> int | None:
    """The seed; raises InputError unless it is None or a whole number of at least 0."""
    if seed is not None and (not _is_whole(seed) or seed < 0):
        raise InputError(f"seed={seed!r} must be a whole number of at least 0, or None")
    return seed


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number, Python's or NumPy's."""
    return is_whole(value) or isinstance(value, np.integer)
