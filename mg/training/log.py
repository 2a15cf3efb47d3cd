"""Numbers of a run: one JSON line for each record, curves of them, and the files that could not be read."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mg.errors import InputError
from mg.files import make_folder, whole_file

_COLUMNS = 3
_RAW, _SMOOTH = "#b3c9de", "#1f4e79"
_FEW = 40  # points; as many are drawn as dots without a smoothed line


class RunLog:
    """Appends to `folder`/metrics.jsonl, each line flushed.

    first_step: the step that this run starts at. Lines of it and of later steps, and a last line that was not finished,
    are dropped, so that a resumed run's file is that of a run that was not interrupted.
    """

    def __init__(self, folder: Path | str, first_step: int = 0):
        self.path = make_folder(folder) / "metrics.jsonl"
        if self.path.exists():
            _keep_before(self.path, first_step)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115, closed by close()

    def write(self, step: int, **numbers: float | None) -> None:
        """Add a line. What is not finite becomes null."""
        record = {"step": int(step), **{name: _plain(number) for name, number in numbers.items()}}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def curves(self, path: Path | str) -> None:
        """Draw all numbers written so far over the step, one panel a name, as a PNG."""
        draw_curves(read_metrics(self.path), path)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class SilentLog:
    """In place of a RunLog where another rank writes."""

    def write(self, step: int, **numbers: float | None) -> None:
        """Nothing."""

    def curves(self, path: Path | str) -> None:
        """Nothing."""

    def __enter__(self) -> SilentLog:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing."""


def read_metrics(path: Path | str) -> list[dict]:
    """The records of a metrics.jsonl; a last line that was not finished is left out."""
    lines = Path(path).read_bytes().splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
        elif number < len(lines):
            raise InputError(f"'{path}' line {number} is no record of a step; remove that line")
    return records


@contextmanager
def text_log(path: Path | str) -> Iterator[None]:
    """While the block runs, what is logged is added to a file as well, and the InputError that ends it."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("mg").addHandler(handler)
    try:
        yield
    except InputError as error:
        handler.handle(
            logging.makeLogRecord({"msg": f"error: {error}", "levelname": "ERROR", "levelno": logging.ERROR})
        )
        raise
    finally:
        logging.getLogger("mg").removeHandler(handler)
        handler.close()


def write_bad_files(folder: Path | str, reasons: Mapping[str, str]) -> None:
    """Write `folder`/bad_files.txt: a line "path<TAB>reason" for each file, sorted."""
    lines = [f"{file}\t{' '.join(reason.split())}\n" for file, reason in sorted(reasons.items())]
    with whole_file(Path(folder) / "bad_files.txt") as part:
        part.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")


def draw_curves(records: list[dict], path: Path | str) -> None:
    """One panel a name: thin line of the values, thick line smoothed; the vertical axis logarithmic where it helps."""
    curves = _curves(records)
    if not curves:
        return
    columns = min(_COLUMNS, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(4.6 * columns, 2.9 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    last = max(steps[-1] for steps, _ in curves.values())
    for axis, (name, (steps, values)) in zip(axes, curves.items()):
        _panel(axis, name, steps, values)
        axis.set_xlim(-0.01 * last, max(1.01 * last, 1))
    for axis in axes[len(curves) :]:
        axis.remove()
    with whole_file(path) as part:
        figure.savefig(part, format="png")


def _panel(axis, name: str, steps: np.ndarray, values: np.ndarray) -> None:
    few = len(steps) <= _FEW
    axis.plot(steps, values, color=_SMOOTH if few else _RAW, linewidth=0.7, marker="o" if few else "", markersize=3)
    if not few:
        axis.plot(steps, smoothed(values), color=_SMOOTH, linewidth=1.6)
    if values.min() > 0 and values.max() > 10 * values.min():
        axis.set_yscale("log")
    axis.set_title(name, fontsize=10, loc="left")
    axis.set_xlabel("step", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Mean over a window of a twentieth of all values; at the ends over what there is of it."""
    reach = max(len(values) // 40, 1)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    index = np.arange(len(values))
    start, stop = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[stop] - sums[start]) / (stop - start)


def _curves(records: list[dict]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """name -> steps and values, in the order in which names first appear; no nulls, and nothing that never changes."""
    points = {}
    for record in records:
        for name, value in record.items():
            if name != "step" and value is not None:
                points.setdefault(name, []).append((record["step"], value))
    told = {name: pairs for name, pairs in points.items() if len(pairs) == 1 or len({value for _, value in pairs}) > 1}
    return {name: tuple(np.array(pairs, dtype=np.float64).T) for name, pairs in told.items()}


def _keep_before(path: Path, first_step: int) -> None:
    kept = [record for record in read_metrics(path) if record["step"] < first_step]
    with whole_file(path) as part:
        part.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def _plain(number: float | None) -> float | int | None:
    if number is None or isinstance(number, Integral):
        return number if number is None else int(number)
    return float(number) if math.isfinite(number) else None
