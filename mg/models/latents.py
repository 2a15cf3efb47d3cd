"""What an encoder's output means: the moments of a Gaussian, or the signs of a lookup-free quantizer.

Raw output is what a network's encoder gives, (B, C, t, h, w) in fp32. The kind of latents says what is decoded of it,
what is stored, and what users of `encode` are given; nobody else asks which kind it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, Union

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mg.errors import InputError

Array = TypeVar("Array", np.ndarray, Tensor)
Generators = Union[np.random.Generator, Sequence[np.random.Generator], None]


def split_moments(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, (B, z, t, h, w) in fp32, from the encoder's (B, 2z, t, h, w).

    The log-variance is clamped to [-30, 20] here, once, for everything that uses it.
    """
    mean, logvar = ops.split(moments.astype(mstype.float32), moments.shape[1] // 2, 1)
    return mean, ops.clamp(logvar, -30.0, 20.0)


def sample(mean: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """mean + standard deviation * noise; all of one shape."""
    return mean + ops.exp(0.5 * logvar) * noise


def draw_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal fp32 noise (B, z, t, h, w), drawn latent frame by latent frame.

    So a clip in pieces, with the same generator, gets the same noise as the clip in one.
    """
    batch, channels, frames, height, width = shape
    noise = rng.standard_normal((frames, batch, channels, height, width), dtype=np.float32)
    return np.ascontiguousarray(noise.transpose(1, 2, 0, 3, 4))


class Factors:
    """(z - shift) * scaling: latents as a diffusion model sees them, and back. The one place that computes it.

    scaling, shift: a number, or one for each latent channel. Latents are (..., z, t, h, w), or (B, z, h, w).
    """

    def __init__(self, scaling: float | Sequence[float] = 1.0, shift: float | Sequence[float] = 0.0):
        self.scaling, self.shift = scaling, shift
        self._scaling, self._shift = (np.atleast_1d(np.asarray(factor, np.float32)) for factor in (scaling, shift))

    def scale(self, z: Array, images: bool = False) -> Array:
        """Raw latents as a diffusion model sees them; images: z has no axis of time."""
        return (z - _along(z, self._shift, images)) * _along(z, self._scaling, images)

    def unscale(self, z: Array, images: bool = False) -> Array:
        """The inverse of `scale`."""
        return z / _along(z, self._scaling, images) + _along(z, self._shift, images)


def _along(z: Array, factor: np.ndarray, images: bool) -> Array | float:
    """A factor as something that can be multiplied with z."""
    if factor.size == 1:
        factor = factor[0]
        return factor if isinstance(z, np.ndarray) else float(factor)
    axis = 3 if images else 4
    if z.ndim < axis or z.shape[-axis] != factor.size:
        raise InputError(f"latents of shape {tuple(z.shape)} have no {factor.size} channels, as their factors do")
    factor = factor.reshape(-1, *(1,) * (axis - 1))
    return factor if isinstance(z, np.ndarray) else Tensor(factor)


class Gaussian:
    """Raw output is mean and clamped log-variance, one after the other, (B, 2z, t, h, w)."""

    outputs = ("mean", "logvar")
    stored_as = ("posterior", "sample")
    drawn_as = ("sample",)  # of these, what a generator decides
    dtype = None  # of what is stored: as it is asked for
    vocabulary = None  # how many codes there are
    counted = None  # of a training step's outputs, the one whose codes are counted

    def integers(self, raw: np.ndarray) -> None:
        """There are none."""

    def named(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """Mean and log-variance, (B, z, t, h, w) each."""
        return dict(zip(self.outputs, np.split(raw, 2, 1)))

    def decoded(self, raw: np.ndarray, rng: Generators = None) -> np.ndarray:
        """What is decoded, (B, z, t, h, w): the mean, or a sample where there is a generator, for all or for each."""
        mean, logvar = np.split(raw, 2, 1)
        return mean if rng is None else mean + np.exp(0.5 * logvar) * _noise(mean.shape, rng)

    def answer(self, raw: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """What `encode` gives: a sample, mean and log-variance."""
        return (self.decoded(raw, rng), *np.split(raw, 2, 1))

    def stored(self, raw: np.ndarray, kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Arrays for a file: `mean` and `std` of a posterior, or `z` of a sample."""
        if kind == "sample":
            return {"z": self.decoded(raw, rng)}
        mean, logvar = np.split(raw, 2, 1)
        return {"mean": mean, "std": np.exp(0.5 * logvar)}

    def restored(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is decoded of a file's arrays: the mean, or the sample."""
        return _one_of(arrays, "mean", "z")


class Codes:
    """Raw output is (B, bits, t, h, w), of which the signs count: +1 above 0, else -1.

    The bits of a pixel are one integer; channel 0 is its most significant bit.  Lookup-free quantization, MAGVIT-v2
    (arXiv 2310.05737), section 3.1.
    """

    outputs = ("codes",)
    stored_as = ("codes",)
    drawn_as = ()
    dtype = "int32"
    counted = "codes"

    def __init__(self, bits: int):
        self.values = 2 ** np.arange(bits - 1, -1, -1, dtype=np.int64)
        self.vocabulary = 2**bits

    def named(self, raw: np.ndarray) -> dict[str, np.ndarray]:
        """The signs, (B, bits, t, h, w)."""
        return {"codes": self.decoded(raw)}

    def decoded(self, raw: np.ndarray, rng: Generators = None) -> np.ndarray:
        """What is decoded, (B, bits, t, h, w): the signs. Nothing is drawn."""
        return np.where(raw > 0, np.float32(1), np.float32(-1))

    def answer(self, raw: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """What `encode` gives: the signs, and the integers (B, t, h, w)."""
        return self.decoded(raw), self.integers(raw)

    def stored(self, raw: np.ndarray, kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Arrays for a file: the integers, (B, 1, t, h, w)."""
        return {"codes": self.integers(raw)[:, None]}

    def restored(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """What is decoded of a file's arrays."""
        return self.signs(_one_of(arrays, "codes")[..., 0, :, :, :])

    def integers(self, raw: np.ndarray) -> np.ndarray:
        """(B, bits, t, h, w) -> (B, t, h, w) int32."""
        return np.tensordot(raw > 0, self.values, ([1], [0])).astype(np.int32)

    def signs(self, integers: np.ndarray) -> np.ndarray:
        """(..., t, h, w) integers -> (..., bits, t, h, w), +1 and -1. Raises InputError for what is no code."""
        fine = integers.dtype.kind in "iu" and integers.size > 0
        if not fine or integers.min() < 0 or integers.max() >= self.vocabulary:
            most = self.vocabulary - 1
            raise InputError(f"codes must be whole numbers from 0 to {most}; use those of the same model")
        set_bits = (integers[..., None, :, :, :] & self.values[:, None, None, None]) != 0
        return np.where(set_bits, np.float32(1), np.float32(-1))


def _noise(shape: tuple[int, ...], rng: np.random.Generator | Sequence[np.random.Generator]) -> np.ndarray:
    """Of one generator for the whole batch, or of one for each clip; the last one's noise fills a batch up."""
    if isinstance(rng, np.random.Generator):
        return draw_noise(shape, rng)
    noise = [draw_noise((1, *shape[1:]), generator) for generator in rng]
    return np.concatenate(noise + noise[-1:] * (shape[0] - len(noise)))


def _one_of(arrays: Mapping[str, np.ndarray], *names: str) -> np.ndarray:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise InputError(
        f"the file holds {' and '.join(arrays)}, but this model decodes {' or '.join(names)}; "
        "use the model that the latents were made with"
    )
