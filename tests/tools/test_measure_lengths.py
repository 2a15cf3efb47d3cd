"""What is told of clips in windows over time."""

import sys

import numpy as np
import pytest
from conftest import ROOT


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.delitem(sys.modules, "measure_lengths", raising=False)
    import measure_lengths

    return measure_lengths


def test_steps_at_lines_are_told_over_the_median_of_the_others(tool):
    levels = np.cumsum([0, 1, 1, 3, 1, 1, 2.0])  # steps into frames 1 to 6
    assert tool.steps_at(np.ones((1, 3, 7, 2, 2)) * levels[:, None, None], [3, 6]) == [3, 2]
    assert tool.steps_at(np.zeros((1, 3, 2, 1, 1)) + levels[:2, None, None], []) == []


def test_the_table_has_a_line_for_each_length_and_way(tool):
    whole = {"seconds": 2.0, "psnr": [30.0, 31.0, 32.0], "ends": [1.0]}
    tiles = {"seconds": 1.0, "psnr": [30.0, 31.0, 30.0], "ends": [4.0]}
    text = tool.table({"17": {"a": {"tiles": tiles, "whole": whole}, "b": {"tiles": whole, "whole": whole}}})
    assert text.splitlines()[2:] == [
        "| 17 | tiles | 2 | 1.5 | 30.67 | 30.00 | 31.00 | -1.00 | 2.000 |",
        "| 17 | whole | 2 | 2.0 | 31.00 | 30.00 | 32.00 | 0.00 | 1.000 |",
    ]
