"""What values are checked by: plain questions, and the annotations that fields of configurations may have.

An annotation is text, since Python 3.9 cannot evaluate it: int, float, str, bool, None, tuple[X, ...] and tuple[X, Y],
inside one another and joined by "|", such as "float | tuple[float, ...]" or "tuple[tuple[int, int], ...]".
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mg.errors import InputError

LARGEST_WHOLE = 2**63 - 1  # what fits into 64 bits
LARGEST = 1e30  # magnitude of a floating number; fp32 ends at 3e38
WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "True or False", "None": "None"}


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a whole or floating number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def between(least: float | None, most: float | None) -> str:
    """A range in words, such as "from 0 to 1"; empty without limits."""
    if least is None and most is None:
        return ""
    if most is None:
        return f"of at least {least}"
    return f"of at most {most}" if least is None else f"from {least} to {most}"


def require_whole(field: str, value: object, least: int, most: int | None = None) -> None:
    """Raise InputError, naming the field, for what is no whole number from `least` to `most`."""
    if not is_whole(value) or not least <= value <= (LARGEST_WHOLE if most is None else most):
        most = LARGEST_WHOLE if is_whole(value) and value > LARGEST_WHOLE and most is None else most
        raise InputError(f"{field}={value!r:.60} must be a whole number {between(least, most)}")


@dataclass(frozen=True)
class Rule:
    """What a field may be, beside its type, and what is said about it.

    least, most: of each of its numbers; choices: of each of its texts, or a function that is asked whenever they are
    needed; unit: of its numbers, such as "frames".
    """

    help: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] | Callable[[], tuple[str, ...]] | None = None
    unit: str = ""

    @property
    def allowed(self) -> tuple[str, ...]:
        """The choices; empty where any text will do."""
        return tuple(self.choices() if callable(self.choices) else self.choices or ())

    def takes(self, value: Any) -> bool:
        """Whether one value of the right type, no tuple, obeys."""
        if isinstance(value, str):
            return not self.allowed or value in self.allowed
        if not is_number(value):
            return True
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class Form:
    """One alternative of an annotation: a word of WORDS, or "tuple" with the alternatives of each item.

    repeated: any number of items, all like the one that is listed.
    """

    kind: str
    items: tuple[tuple[Form, ...], ...] = ()
    repeated: bool = False

    def fit(self, value: Any) -> Any:
        """`value` as this form: a whole number as a float, a list as a tuple, a path as text. Raises ValueError."""
        if self.kind == "tuple":
            return self._fit_items(value)
        if self.kind == "float" and is_number(value):
            return float(value)
        if self.kind == "str" and isinstance(value, os.PathLike):
            return os.fspath(value)
        if type(value).__name__.replace("NoneType", "None") != self.kind:
            raise ValueError
        return value

    def _fit_items(self, value: Any) -> tuple:
        if not isinstance(value, (list, tuple)):
            raise ValueError
        return tuple(fit(part, forms) for part, forms in self.matched(value))

    def matched(self, values: Sequence[Any]) -> Iterator[tuple[Any, tuple[Form, ...]]]:
        """Each of the values with the forms of its place in a tuple. Raises ValueError if they are too many or few."""
        items = self.items * len(values) if self.repeated else self.items
        if len(items) != len(values):
            raise ValueError
        return zip(values, items)

    def words(self, limits: str) -> str:
        """What a value of this form is, with the range of its numbers."""
        if self.kind == "tuple":
            if len(set(self.items)) > 1:
                return f"a list: {', '.join(describe(item, limits) for item in self.items)}"
            count = "" if self.repeated else f"{len(self.items)} "
            return f"a list of {count}values, each {describe(self.items[0], limits)}"
        return f"{WORDS[self.kind]} {limits}".rstrip() if self.kind in ("int", "float") else WORDS[self.kind]


@cache
def parse(annotation: str) -> tuple[Form, ...]:
    """The alternatives of an annotation. Raises TypeError, a mistake in the program, for any other annotation."""
    try:
        return tuple(_alternatives(ast.parse(annotation, mode="eval").body))
    except (SyntaxError, ValueError, TypeError):
        raise TypeError(
            f"a field's annotation must be text made of {', '.join(WORDS)} and tuple: {annotation!r}"
        ) from None


def fit(value: Any, forms: tuple[Form, ...]) -> Any:
    """`value` as the first of the forms that takes it. Raises ValueError if none does."""
    for form in forms:
        try:
            return form.fit(value)
        except (ValueError, OverflowError):
            continue
    raise ValueError


def describe(forms: tuple[Form, ...], limits: str = "") -> str:
    """The forms in words, such as "a number from 0 to 1 or None"; limits: the range of all numbers, in words."""
    return " or ".join(form.words(limits) for form in forms)


def parts(value: Any) -> Iterator[Any]:
    """The value itself, or everything in a tuple, however deep."""
    if isinstance(value, tuple):
        for part in value:
            yield from parts(part)
    else:
        yield value


def _alternatives(node: ast.expr) -> Iterator[Form]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _alternatives(node.left)
        yield from _alternatives(node.right)
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "tuple":
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        repeated = ast.unparse(items[-1]) == "..."
        yield Form("tuple", tuple(tuple(_alternatives(item)) for item in items[: -1 if repeated else None]), repeated)
    elif ast.unparse(node) in WORDS:
        yield Form(ast.unparse(node))
    else:
        raise ValueError
