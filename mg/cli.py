"""The command line: flags of configurations, and how a script reads its flags and ends."""

from __future__ import annotations

import argparse
import inspect
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import Field, fields
from fractions import Fraction
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from mg.checks import Form, describe, parse
from mg.config import explain, fields_of
from mg.errors import InputError

_TRUTH = {"true": True, "false": False}
_READ = {  # in this order, since every word is a text
    "None": lambda text: {"none": None}[text.lower()],
    "bool": lambda text: _TRUTH[text.lower()],
    "int": int,
    "float": float,
    "str": str,
}
_PLACEHOLDERS = {"int": "N", "float": "X", "str": "TEXT", "bool": "True|False"}


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, but flags are not abbreviated, and a wrong command line is one line like all other errors.

    usage: the first line of --help, where the list of all flags would be too long.
    """

    def __init__(self, description: str, usage: str | None = None, add_help: bool = True):
        settings = {"formatter_class": _HelpFormatter, "allow_abbrev": False}
        super().__init__(description=description, usage=usage, add_help=add_help, **settings)

    def error(self, message: str) -> None:
        raise InputError(f"{message}; see --help")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Paragraphs as they are written, and room for long names of flags."""

    def __init__(self, prog: str, **settings: Any):
        super().__init__(prog, max_help_position=40, **settings)


def run_script(main: Callable[[], int | None]) -> None:
    """Run a script's `main` and exit: 0 or its return value; 2 and one line for wrong input; 130 when interrupted.

    SIGTERM interrupts like Ctrl-C, so that unfinished files are removed.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with logging_redirect_tqdm():
            code = main() or 0
    except InputError as error:
        code = _stop(f"error: {error}", 2)
    except BrokenPipeError:  # whoever read the output has closed it
        sys.stdout = None
        code = 0
    except (OSError, MemoryError) as error:
        code = _stop(f"error: {getattr(error, 'filename', None) or type(error).__name__}: {error}", 2)
    except KeyboardInterrupt:
        code = _stop("interrupted: files that were not finished have been removed", 130)
    sys.exit(code)


def add_flags(parser: argparse.ArgumentParser, *classes: type) -> None:
    """Add a flag for each field of the classes: a group for each class, titled by the first line of its docstring.

    A flag that is not given leaves nothing in the parsed arguments.
    """
    fields_of(classes)
    for cls in classes:
        title, _, text = inspect.getdoc(cls).partition("\n")
        group = parser.add_argument_group(title.rstrip("."), text.strip().replace("%", "%%"))
        for one in fields(cls):
            _add_flag(group, one)


def given_flags(arguments: argparse.Namespace, *classes: type) -> dict[str, Any]:
    """The parsed arguments that are fields of the classes: what the command line says, for `build`."""
    known = fields_of(classes)
    return {name: value for name, value in vars(arguments).items() if name in known}


def rate(text: str) -> Fraction:
    """Frames a second, such as 24 or 30000/1001: the type of a flag."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no frame rate; write 24 or 30000/1001") from None


def _add_flag(group: Any, one: Field) -> None:
    forms = parse(one.type)
    several = [form for form in forms if form.kind == "tuple"]
    single = tuple(form for form in forms if form.kind != "tuple")
    words = (*single, *(form for tuples in several for item in tuples.items for form in item))

    def from_text(text: str) -> Any:
        return _from_text(text, words)

    shown = next(form for form in words if form.kind != "None")
    settings = {"type": from_text, "default": argparse.SUPPRESS, "help": explain(one).replace("%", "%%")}
    settings["metavar"] = _placeholder(shown)
    if several:
        group.add_argument(f"--{one.name}", nargs="+", action=_OneOrMore, single=single, **settings)
    elif shown.kind == "bool":
        group.add_argument(f"--{one.name}", nargs="?", const=True, **settings)
    else:
        group.add_argument(f"--{one.name}", **settings)


def _placeholder(form: Form) -> str:
    if form.kind == "tuple":
        return "x".join(_placeholder(item[0]) for item in form.items)
    return _PLACEHOLDERS[form.kind]


def _from_text(text: str, forms: tuple[Form, ...]) -> Any:
    """A word of the command line as one of the forms; a list inside a list is written 192x256."""
    for form in sorted(forms, key=lambda form: [*_READ, "tuple"].index(form.kind)):
        try:
            return _from_parts(text, form) if form.kind == "tuple" else _READ[form.kind](text)
        except (ValueError, KeyError):
            continue
    joined = ", joined by x" if any(form.kind == "tuple" for form in forms) else ""
    raise argparse.ArgumentTypeError(f"{text!r} must be {describe(tuple(dict.fromkeys(forms)))}{joined}")


def _from_parts(text: str, form: Form) -> tuple:
    words = text.lower().split("x")
    if len(words) != len(form.items):
        raise ValueError
    return tuple(_READ[item[0].kind](word) for word, item in zip(words, form.items))


class _OneOrMore(argparse.Action):
    """Keeps one word as a single value where the field also takes one, several as a tuple."""

    def __init__(self, *args: Any, single: tuple[Form, ...], **settings: Any):
        super().__init__(*args, **settings)
        self.single = {form.kind for form in single}

    def __call__(self, parser, namespace, values, option_string=None):
        alone = len(values) == 1 and type(values[0]).__name__.replace("NoneType", "None") in self.single
        setattr(namespace, self.dest, values[0] if alone else tuple(values))


def _stop(message: str, code: int) -> int:
    if sys.stderr is not None:
        sys.stderr.write(message.replace("\n", "\\n") + "\n")
    return code
