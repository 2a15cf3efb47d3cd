"""Whole frames shared among processes, each with a band of their rows: what they tell each other in a network.

A network in bands gives, of its own band, what the plain network gives of whole frames there, but for rounding: before
a convolution neighbours exchange rows, norms join their statistics, and attention gathers all tokens. Bands may differ
in height, in units of a latent row. Collectives are AllGathers of one shape on all ranks, and each depends on the one
before, so that all ranks come to them in one order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mindspore import Tensor, nn, ops

from mg.errors import InputError
from mg.models.layers.attention import SpatialAttention
from mg.models.layers.causal import CausalConv
from mg.models.layers.conv import Conv2_5d, SpatialConv, padded_at_sides
from mg.models.layers.norm import GroupNorm, share_parameters
from mg.models.layers.resample import SpatialUpsample


@dataclass(frozen=True)
class Bands:
    """rows: latent rows of each rank's band, from the top down. rank: this process's place among them."""

    rows: tuple[int, ...]
    rank: int

    @property
    def ranks(self) -> int:
        return len(self.rows)

    @property
    def above(self) -> int:
        """Latent rows above this rank's band."""
        return sum(self.rows[: self.rank])

    def own(self, frames: np.ndarray) -> np.ndarray:
        """(B, C, T, h, W) of this rank's rows, of (B, C, T, H, W), H a multiple of all latent rows."""
        unit = frames.shape[3] // sum(self.rows)
        start = self.above * unit
        return np.ascontiguousarray(frames[:, :, :, start : start + self.rows[self.rank] * unit])


def bands_of(latent_rows: int, rank: int, ranks: int) -> Bands:
    """As equal as they can be; the first ones have a row more. Raises InputError for fewer rows than ranks."""
    if latent_rows < ranks:
        raise InputError(
            f"frames of {latent_rows} latent rows cannot be shared among {ranks} ranks by their rows; start fewer ranks"
        )
    each, more = divmod(latent_rows, ranks)
    return Bands(tuple(each + (place < more) for place in range(ranks)), rank)


class Halo(nn.Cell):
    """(N, C, h, W) of a band -> (N, C, above + h + below, W): rows of its neighbours, zeros at the frame's edges."""

    def __init__(self, bands: Bands, above: int, below: int):
        super().__init__()
        self.bands, self.above, self.below = bands, above, below
        self.gather = ops.AllGather()

    def construct(self, x: Tensor) -> Tensor:
        count, height, above, below = x.shape[0], x.shape[2], self.above, self.below
        sent = []
        if below:  # what the band above reaches into comes first
            sent.append(x[:, :, :below])
        if above:
            sent.append(x[:, :, height - above :])
        rows = self.gather(ops.concat(sent, 2) if len(sent) > 1 else sent[0])
        place, parts = self.bands.rank, [x]
        if above:
            upper = rows[(place - 1) * count : place * count, :, below:] if place else _nothing(sent[-1], rows)
            parts = [upper, *parts]
        if below:
            end = place + 1 == self.bands.ranks
            lower = _nothing(sent[0], rows) if end else rows[(place + 1) * count : (place + 2) * count, :, :below]
            parts = [*parts, lower]
        return ops.concat(parts, 2)


class ConvOfBand(nn.Cell):
    """A `Conv2D` of a band: rows of neighbours stand where it pads zeros above and below."""

    def __init__(self, conv: ops.Primitive, bands: Bands):
        super().__init__()
        self.halo = Halo(bands, *conv.pad[:2])
        self.conv = padded_at_sides(conv)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.conv(self.halo(x), weight)


class PhaseOfBand(nn.Cell):
    """A `Conv2D` with a kernel of two rows, of a band that has a row of its neighbours above and below already."""

    def __init__(self, conv: ops.Primitive):
        super().__init__()
        self.start = 1 - conv.pad[0]
        self.conv = padded_at_sides(conv)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        rows = x.shape[2] - 1
        return self.conv(x[:, :, self.start : self.start + rows], weight)


class StatisticsOfBands(nn.Cell):
    """Mean and variance of a band, both (n,) fp32 -> how much its mean is above that of all bands, and their variance.

    By count, mean and sum of squared deviations of each: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise
    Algorithm for Computing Sample Variances" (1979).
    """

    def __init__(self, bands: Bands):
        super().__init__()
        self.ranks = bands.ranks
        self.shares = Tensor(np.asarray([bands.rows], np.float32) / sum(bands.rows))
        self.gather = ops.AllGather()
        self.matmul = ops.MatMul()

    def construct(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        both = self.gather(ops.stack((mean, variance)).reshape(1, -1)).reshape(self.ranks, 2, -1)
        means, variances = ops.unstack(both, 1)
        joined = self.matmul(self.shares, means)
        apart = means - ops.broadcast_to(joined, means.shape)
        variance = self.matmul(self.shares, variances + apart * apart)
        return mean - joined.reshape(-1), variance.reshape(-1)


class TokensOfBands(nn.Cell):
    """(N, h*W, C) of a band, row after row -> (N, H*W, C) of all bands."""

    def __init__(self, bands: Bands):
        super().__init__()
        self.bands = bands
        self.gather = ops.AllGather()

    def construct(self, x: Tensor) -> Tensor:
        count, length, channels = x.shape
        rows = self.bands.rows
        each, most = length // rows[self.bands.rank], max(rows)
        if most * each > length:
            missing = ops.zeros((count, most * each - length, channels), x.dtype)
            x = ops.concat((x, missing), 1)
        tokens = self.gather(x)
        parts = [tokens[place * count : (place + 1) * count, : rows[place] * each] for place in range(len(rows))]
        return ops.concat(parts, 1)

    def own(self, x: Tensor, length: int) -> Tensor:
        """This band's, (N, length, C), of those of all bands."""
        start = self.bands.above * (length // self.bands.rows[self.bands.rank])
        return x[:, start : start + length]


def in_bands(network: nn.Cell, twin: nn.Cell, bands: Bands) -> nn.Cell:
    """Make `twin`, built like `network` and not yet compiled, share its parameters and compute a band of its frames."""
    for cell in share_parameters(network, twin):
        _share(cell, bands)
    return twin.set_train(False)


def _share(cell: nn.Cell, bands: Bands) -> None:
    if isinstance(cell, (SpatialConv, CausalConv)):
        _replace(cell, "conv", bands)
    elif isinstance(cell, Conv2_5d):
        _replace(cell, "both", bands)
    elif isinstance(cell, GroupNorm):
        cell.of_bands = StatisticsOfBands(bands)
    elif isinstance(cell, SpatialAttention):
        cell.of_bands = TokensOfBands(bands)
    elif isinstance(cell, SpatialUpsample):
        cell.halo = Halo(bands, 1, 1)
        for phase in (cell.upper_left, cell.upper_right, cell.lower_left, cell.lower_right):
            conv = phase.conv
            del phase.conv
            phase.conv = PhaseOfBand(conv)


def _replace(cell: nn.Cell, name: str, bands: Bands) -> None:
    conv = getattr(cell, name)
    if any(conv.pad[:2]):
        delattr(cell, name)
        setattr(cell, name, ConvOfBand(conv, bands))


def _nothing(like: Tensor, after: Tensor) -> Tensor:
    """Zeros; `after` is computed all the same, since other ranks wait for it."""
    return ops.depend(ops.zeros_like(like), after)
