"""How a codebook is used: which codes occur, how evenly, and whether every bit tells something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mindspore import Tensor

from mg.distributed import Average
from mg.io.plots import BAND, LINE, SMALL, dress, plot
from mg.io.tokens import bits_of

_HALF = 15  # bits of a code that fp32 holds with room to spare


class CodeUse:
    """How often each code occurs among the tokens that were added."""

    def __init__(self):
        self.values, self.counts = np.zeros((2, 0), np.int64)
        self.growth = [(0, 0)]  # tokens and different ones after each addition

    def add(self, integers: np.ndarray) -> None:
        """Count the tokens of an array of any shape."""
        self._merge(*np.unique(integers, return_counts=True))

    def _merge(self, values: np.ndarray, counts: np.ndarray) -> None:
        """Both sorted or not; a value may come twice."""
        counts = np.concatenate((self.counts, counts))
        self.values, place = np.unique(np.concatenate((self.values, values)), return_inverse=True)
        self.counts = np.bincount(place.ravel(), counts, len(self.values)).astype(np.int64)
        self.growth.append((self.tokens, self.distinct))

    @property
    def tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def distinct(self) -> int:
        return len(self.values)

    @property
    def entropy_bits(self) -> float:
        """Entropy of the frequencies in bits; 2 to the power of it is the perplexity."""
        shares = self.counts / self.tokens
        return float(-(shares * np.log2(shares)).sum())

    def ones(self, vocabulary: int) -> np.ndarray:
        """Of each bit, the most significant first, the share of tokens in which it is 1."""
        places = np.arange(bits_of(vocabulary) - 1, -1, -1)
        return ((self.values[:, None] >> places & 1) * self.counts[:, None]).sum(0) / self.tokens

    def figures(self, vocabulary: int) -> dict[str, float]:
        """For logs, of at least one token: different codes, their share of all, entropy, perplexity, and the worst bit.

        least_even_bit: the share of its rarer value, of the bit where that is smallest: 0.5 is even, 0 says nothing.
        """
        ones = self.ones(vocabulary)
        return {
            "distinct": self.distinct,
            "share": self.distinct / vocabulary,
            "entropy_bits": self.entropy_bits,
            "perplexity": 2**self.entropy_bits,
            "least_even_bit": float(np.minimum(ones, 1 - ones).min()),
        }

    def over_ranks(self, rank: int, ranks: int) -> CodeUse:
        """The use of all ranks together, which all of them have then. Counts are right below 2^22."""
        if ranks == 1:
            return self
        average = Average(ranks)

        def summed(array: np.ndarray) -> np.ndarray:
            return np.rint(average((Tensor(array),))[0].asnumpy() * ranks)

        lengths = summed(np.eye(ranks, dtype=np.float32)[rank] * self.distinct)
        return CodeUse.unpacked(summed(self.packed(rank, ranks, int(lengths.max()))))

    def packed(self, rank: int, ranks: int, most: int) -> np.ndarray:
        """(ranks, 3, most) fp32, zero but for this rank's codes, in two halves, and their counts."""
        packed = np.zeros((ranks, 3, most), np.float32)
        packed[rank, :, : self.distinct] = self.values >> _HALF, self.values & (2**_HALF - 1), self.counts
        return packed

    @classmethod
    def unpacked(cls, packed: np.ndarray) -> CodeUse:
        """Of the sum of all ranks' `packed`."""
        high, low, counts = packed.astype(np.int64).swapaxes(0, 1).reshape(3, -1)
        use = cls()
        use._merge(((high << _HALF) | low)[counts > 0], counts[counts > 0])
        return use


def draw_use(path: Path | str, use: CodeUse, vocabulary: int) -> None:
    """How often codes occur, how many have by so many tokens, and how even every bit is, as a PNG."""
    with plot(path, 13, 3.6) as figure:
        frequencies, growth, bits = figure.subplots(1, 3)
        _draw_frequencies(frequencies, use, vocabulary)
        _draw_growth(growth, use, vocabulary)
        _draw_bits(bits, use.ones(vocabulary))


def _draw_frequencies(axis: Axes, use: CodeUse, vocabulary: int) -> None:
    even = use.tokens / vocabulary
    figures = use.figures(vocabulary)
    axis.plot(np.arange(1, use.distinct + 1), np.sort(use.counts)[::-1], color=LINE, linewidth=1.4)
    axis.axhline(even, color=BAND, linewidth=1.4)
    axis.text(1, even, " all alike", fontsize=SMALL, va="bottom")
    dress(axis, f"tokens of each code; perplexity {figures['perplexity']:.1f}", "code, the most frequent first", 6)
    axis.set_xscale("log")
    axis.set_yscale("log")


def _draw_growth(axis: Axes, use: CodeUse, vocabulary: int) -> None:
    tokens, distinct = zip(*use.growth)
    axis.plot(tokens, distinct, color=LINE, linewidth=1.4, marker="." if len(tokens) < 50 else "")
    axis.set_ylim(0, None)
    share = use.distinct / vocabulary
    dress(axis, f"different codes: {use.distinct} of {vocabulary}, {100 * share:.3g} %", "tokens", 4)


def _draw_bits(axis: Axes, ones: np.ndarray) -> None:
    axis.bar(np.arange(len(ones)), ones, color=BAND)
    axis.axhline(0.5, color=LINE, linewidth=1)
    axis.set_ylim(0, 1)
    dress(axis, "share of tokens in which a bit is 1", "bit, the most significant first", 12)
