"""How a codebook is used, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import msrun

from mg.evaluation.codebook import CodeUse, draw_use
from mg.io.image import read_image
from mg.io.tokens import bits_of


def used(*arrays):
    use = CodeUse()
    for array in arrays:
        use.add(np.asarray(array))
    return use


def test_figures_are_those_of_all_tokens_at_once():
    use = used([[7, 7], [7, 3]], [7, 5, 5, 3])
    assert (use.tokens, use.distinct, use.growth) == (8, 3, [(0, 0), (4, 2), (8, 3)])
    shares = np.array([4, 2, 2]) / 8
    figures = use.figures(16)
    assert figures["entropy_bits"] == pytest.approx(-(shares * np.log2(shares)).sum()) == 1.5
    assert (figures["distinct"], figures["share"]) == (3, 3 / 16)
    assert figures["perplexity"] == pytest.approx(2**1.5)
    assert use.ones(16).tolist() == [0, 6 / 8, 6 / 8, 1]  # of 0111, 0011 and 0101
    assert figures["least_even_bit"] == 0  # two bits say nothing


def test_all_codes_alike_are_as_many_as_there_are():
    figures = used(np.arange(64), np.arange(64)).figures(64)
    assert figures == {"distinct": 64, "share": 1, "entropy_bits": 6, "perplexity": 64, "least_even_bit": 0.5}


@pytest.mark.parametrize("bits", [1, 6, 18, 30])
def test_ranks_together_are_one_process(bits):
    rng = np.random.default_rng(0)
    assert bits_of(2**bits) == bits
    shares = [rng.integers(0, 2**bits, count) for count in (100, 37)]
    whole, ranks = used(*shares), [used(share) for share in shares]
    most = max(use.distinct for use in ranks)
    together = CodeUse.unpacked(sum(use.packed(rank, 2, most) for rank, use in enumerate(ranks)))
    np.testing.assert_array_equal(together.values, whole.values)
    np.testing.assert_array_equal(together.counts, whole.counts)
    assert together.figures(2**bits) == whole.figures(2**bits)
    assert whole.over_ranks(0, 1) is whole


TWO_RANKS = """
import numpy as np
from mg import distributed
from mg.evaluation.codebook import CodeUse
rank, ranks = distributed.start()
use = CodeUse()
use.add(np.random.default_rng(rank).integers(0, 2**18, 500 + 300 * rank))
print("together", use.over_ranks(rank, ranks).figures(2**18))
"""


@pytest.mark.slow
def test_two_ranks_know_of_each_other(tmp_path):
    (tmp_path / "ranks.py").write_text(TWO_RANKS)
    log = msrun(tmp_path / "ranks.py", folder=tmp_path)
    whole = used(*(np.random.default_rng(rank).integers(0, 2**18, 500 + 300 * rank) for rank in range(2)))
    assert log.count("together ") == log.count(f"together {whole.figures(2**18)}") >= 2


def test_the_picture(tmp_path):
    draw_use(tmp_path / "use.png", used(np.random.default_rng(0).integers(0, 64, 500)), 64)
    assert read_image(tmp_path / "use.png").std() > 5
