"""Tables and fits of what benchmark.py measured. Takes and gives plain numbers and text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
_MOST_OPERATORS = 20


def statistics(seconds: Sequence[float]) -> dict[str, float]:
    """Median and spread of steady runs."""
    quarter, median, three_quarters = np.percentile(seconds, (25, 50, 75))
    return {
        "median_s": float(median),
        "min_s": float(min(seconds)),
        "max_s": float(max(seconds)),
        "iqr_s": float(three_quarters - quarter),
    }


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """b of seconds = a * size^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def line(frames: Sequence[int], gigabytes: Sequence[float]) -> dict[str, float]:
    """a and b of gigabytes = a + b * frames, by least squares."""
    slope, start = np.polyfit(frames, gigabytes, 1)
    return {"gb": float(start), "gb_per_frame": float(slope)}


def table(columns: dict[str, Callable[[Row], str]], rows: Iterable[Row]) -> str:
    """Markdown with aligned columns, numbers to the right; columns: heading -> text of a row's cell."""
    cells = [list(columns), *[[cell(row) for cell in columns.values()] for row in rows]]
    widths = [max(map(len, column)) for column in zip(*cells)]
    left = [any(c.isalpha() for c in column[1][:1]) if len(column) > 1 else True for column in zip(*cells)]
    aligned = [[c.ljust(w) if to_left else c.rjust(w) for c, w, to_left in zip(row, widths, left)] for row in cells]
    rule = ["-" * w if to_left else "-" * (w - 1) + ":" for w, to_left in zip(widths, left)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [aligned[0], rule, *aligned[1:]])


def _number(key: str, digits: int, factor: float = 1, unit: str = "") -> Callable[[Row], str]:
    return lambda row: "-" if row.get(key) is None else f"{row[key] * factor:.{digits}f}{unit}"


def _clip(row: Row) -> str:
    return f"{row['frames']}x{row['height']}x{row['width']}"


RESULTS = {
    "part": lambda row: row["part"] + (" tiled" if row["tiled"] else ""),
    "TxHxW": _clip,
    "by": lambda row: row["by"],
    "first s": _number("first_s", 2),
    "median s": _number("median_s", 3),
    "min-max": lambda row: f"{row['min_s']:.3f}-{row['max_s']:.3f}",
    "iqr": _number("iqr_s", 3),
    "peak GB": _number("peak_gb", 2),
    "GFLOP": lambda row: f"{row['gflop']:.{0 if row['gflop'] > 100 else 2}f}",
    "GFLOP/s": _number("gflops", 1),
    "of MatMul": _number("of_matmul", 0, 100, " %"),
    "mg / peer": _number("ratio", 2, 1, "x"),
}
LEGEND = """first: with compilation; iqr: interquartile range; peak GB: largest resident size of the process
GFLOP: what is computed, a multiplication and an addition being 2, counted by tools/benchmark/counting.py, a peer's by
PyTorch; of MatMul: as a share of its rate
mg / peer: median time of mg as a share of that peer's"""
MEMORY = {
    "train TxHxW": _clip,
    "by": lambda row: row["by"],
    "peak GB": _number("peak_gb", 2),
    "median s": _number("median_s", 3),
}
GROWTH = {
    "sweep": lambda row: row["sweep"],
    "part": lambda row: row["part"],
    "TxHxW": _clip,
    "windows": lambda row: str(row["windows"] or "-"),
    "median s": _number("median_s", 3),
    "s / window": _number("window_s", 3),
    "peak GB": _number("peak_gb", 2),
}
OPERATORS = {
    "operator": lambda row: row["operator"],
    "calls": lambda row: str(row["calls"]),
    "ms": _number("ms", 1),
    "share": _number("share", 1, 100, " %"),
}


def by_operator(operators: Sequence[Row]) -> list[Row]:
    """Calls, time and share of each type of operator, the longest first."""
    total = sum(row["ms"] for row in operators)
    rows = []
    for kind in {row["operator"] for row in operators}:
        same = [row for row in operators if row["operator"] == kind]
        ms = sum(row["ms"] for row in same)
        rows.append(
            {
                "operator": kind,
                "calls": sum(row["calls"] for row in same),
                "ms": ms,
                "share": ms / total if total else 0,
            }
        )
    return sorted(rows, key=lambda row: (-row["ms"], row["operator"]))


def operators_text(title: str, rows: Sequence[Row]) -> str:
    return f"{title}\n{table(OPERATORS, rows[:_MOST_OPERATORS])}"


def growth_fits(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Of each part: exponents of time over T and over H*W, and the spread of a window's time, largest - least / least.

    What does less than half of the others' arithmetic a frame is left out of the fit over T: a TAE decodes a single
    latent frame once.
    """
    fits = {}
    for part in dict.fromkeys(row["part"] for row in rows):
        of = {sweep: [r for r in rows if (r["part"], r["sweep"]) == (part, sweep)] for sweep in ("T", "HW", "windows")}
        shares = [row["gflop"] / row["frames"] for row in of["T"]]
        several = [row for row, share in zip(of["T"], shares) if share > max(shares) / 2]
        fit = {"exponent_t": _exponent(several if len(several) > 1 else of["T"], lambda row: row["frames"])}
        fit["exponent_hw"] = _exponent(of["HW"], lambda row: row["height"] * row["width"])
        if of["windows"]:
            seconds = [row["window_s"] for row in of["windows"]]
            fit["window_spread"] = max(seconds) / min(seconds) - 1
        fits[part] = fit
    return fits


def results_text(rows: Sequence[Row]) -> str:
    rate = max(row["matmul_gflops"] for row in rows)
    return f"fp32 matrix product (MatMul): up to {rate:.0f} GFLOP/s\n\n{table(RESULTS, rows)}\n\n{LEGEND}"


def growth_text(rows: Sequence[Row], fits: dict[str, dict[str, float]]) -> str:
    lines = [table(GROWTH, rows), ""]
    for part, fit in fits.items():
        text = f"{part}: time grows as T^{fit['exponent_t']:.2f} and (H*W)^{fit['exponent_hw']:.2f}"
        if "window_spread" in fit:
            text += f"; time per window differs by {100 * fit['window_spread']:.1f} %"
        lines.append(text)
    return "\n".join(lines)


def memory_fits(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """The line through the peaks of each that was measured."""
    fits = {}
    for by in dict.fromkeys(row["by"] for row in rows):
        same = [row for row in rows if row["by"] == by]
        fits[by] = line([row["frames"] for row in same], [row["peak_gb"] for row in same])
    return fits


def memory_text(rows: Sequence[Row], fits: dict[str, dict[str, float]]) -> str:
    lines = [f"{by}: peak GB = {fit['gb']:.2f} + {fit['gb_per_frame']:.3f} * T" for by, fit in fits.items()]
    return "\n".join([table(MEMORY, rows), "", *lines])


def _exponent(rows: Sequence[Row], size: Callable[[Row], int]) -> float:
    return exponent([size(row) for row in rows], [row["median_s"] for row in rows])
