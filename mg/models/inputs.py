"""What may be given to encode and decode: checked, and brought to one form."""

from __future__ import annotations

import logging

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mg.checks import is_whole
from mg.errors import InputError

logger = logging.getLogger(__name__)

_OVERSHOOT = 1.1  # of resampled or decoded pixels
_warned = False
_FLOATS = (mstype.float32, mstype.float16, mstype.bfloat16, mstype.float64)


def enter_clip(x: Tensor | np.ndarray, min_size: int) -> tuple[np.ndarray, bool]:
    """Clips or images of pixels, as `enter` has them, with sides of at least `min_size`."""
    x, is_image = enter(x, "x", 3)
    if min(x.shape[3:]) < min_size:
        raise InputError(f"x has frames of {x.shape[3]}x{x.shape[4]}; height and width must be at least {min_size}")
    if (largest := float(max(x.max(), -x.min()))) > _OVERSHOOT:
        _warn_of_range(largest)
    return x, is_image


def _warn_of_range(largest: float) -> None:
    """Once in a process."""
    global _warned
    if not _warned:
        logger.warning(
            "x has values up to %.4g, but pixels are expected in [-1, 1]; mg.io.pixels.to_clip makes them of 0 to 255",
            largest,
        )
    _warned = True


def enter(x: Tensor | np.ndarray, name: str, channels: int) -> tuple[np.ndarray, bool]:
    """(B, channels, T, H, W) in fp32, and whether T was added, from the same or (B, channels, H, W), floating.

    Raises InputError, calling the argument `name`, for any other shape, type or object.
    """
    if not isinstance(x, (Tensor, np.ndarray)):
        raise InputError(f"{name} is a {type(x).__name__}, but must be a MindSpore Tensor or a floating NumPy array")
    if x.ndim not in (4, 5) or x.shape[1] != channels or 0 in x.shape:
        raise InputError(
            f"{name} has shape {x.shape}, but must be (B, {channels}, T, H, W), "
            f"or (B, {channels}, H, W) for images, with no empty axis"
        )
    if not _is_floating(x):
        kind = f"NumPy array of {x.dtype}" if isinstance(x, np.ndarray) else f"Tensor of {x.dtype}"
        raise InputError(
            f"{name} is a {kind}, but must be floating; mg.io.pixels.to_clip turns uint8 frames into clips"
        )
    array = x.astype(mstype.float32).asnumpy() if isinstance(x, Tensor) else np.ascontiguousarray(x, np.float32)
    return (array[:, :, None], True) if array.ndim == 4 else (array, False)


def _is_floating(x: Tensor | np.ndarray) -> bool:
    """NumPy's long double is not taken: MindSpore has none."""
    return x.dtype in _FLOATS if isinstance(x, Tensor) else x.dtype.kind == "f" and x.dtype.itemsize <= 8


def frames_to_keep(limits: tuple[int, int], wanted: int | None, other_name: int | None) -> int:
    """Of decoded frames as many as are wanted, under either name; all for None.

    limits: how many may be wanted, and how many there are. Raises InputError for names that disagree, and for a number
    that is not within the limits.
    """
    least, most = limits
    if wanted is not None and other_name is not None and wanted != other_name:
        raise InputError(f"num_target_frames={wanted} and target_num_frames={other_name} disagree; give one")
    wanted = other_name if wanted is None else wanted
    if wanted is None:
        return most
    if not _is_whole(wanted) or not least <= wanted <= most:
        raise InputError(
            f"num_target_frames={wanted!r} must be from {least} to {most}, the number of frames that are decoded"
        )
    return int(wanted)


def checked_seed(seed: int | None) -> int | None:
    """The seed; raises InputError unless it is None or a whole number of at least 0."""
    if seed is not None and (not _is_whole(seed) or seed < 0):
        raise InputError(f"seed={seed!r} must be a whole number of at least 0, or None")
    return seed


def _is_whole(value: object) -> bool:
    """Whether a value is a whole number, Python's or NumPy's."""
    return is_whole(value) or isinstance(value, np.integer)
