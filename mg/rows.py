"""Rows of a measurement that takes minutes: each is in a file as soon as it is measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mg.errors import InputError
from mg.files import whole_file
from mg.locks import hold_file


class Rows:
    """Rows by name, in a file of JSON lines, the first of which says what they depend on; made by `measured_rows`."""

    def __init__(self, path: Path, about: Mapping[str, Any], resume: bool):
        self.path, head = path, json.loads(json.dumps({"about": about}, default=str))
        self._rows = _read(path, head) if resume and path.exists() else {}
        with whole_file(path) as part:  # without a last line that was not finished
            lines = [head, *({"name": name, "row": row} for name, row in self._rows.items())]
            part.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """The row of that name, measured now unless it was before; as JSON has it."""
        if name not in self._rows:
            line = json.dumps({"name": name, "row": measure()})
            with open(self.path, "a") as file:
                file.write(line + "\n")
            self._rows[name] = json.loads(line)["row"]
        return self._rows[name]


@contextmanager
def measured_rows(path: Path | str, about: Mapping[str, Any], resume: bool) -> Iterator[Rows]:
    """Keep other runs from `path`, the result, and yield the rows it is made of, which lie beside it meanwhile.

    about: all that rows depend on, which must be the same to resume. The rows' file goes when the block ends well.
    """
    path = Path(path)
    with hold_file(path):
        rows = Rows(path.with_name(f"{path.name}.rows"), about, resume)
        yield rows
        rows.path.unlink(missing_ok=True)


def _read(path: Path, head: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of a file that begins with `head`; a last line that was not finished is left out."""
    first, *lines = path.read_text().split("\n")
    if first != json.dumps(head):
        raise InputError(
            f"'{path}' holds rows of a run with other flags; resume with the same ones, or leave --resume out"
        )
    records = [json.loads(line) for line in lines[:-1]]
    return {record["name"]: record["row"] for record in records}
