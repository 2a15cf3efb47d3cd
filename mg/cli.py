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
_SLOWEST, _FASTEST = 1e-9, 1e18  # frame rates that can be written with an exponent
_PLACEHOLDERS = {"int": "N", "float": "X", "str": "TEXT", "bool": "True|False"}


class ArgumentParser(argparse.ArgumentParser):
    """argparse's, but flags are not abbreviated, and a wrong command line is one line like all other errors.

    usage: the first line of --help, where the list of all flags would be too long.
    """

    def __init__(self, description: str, usage: str | None = None, add_help: bool = True):
        settings = {"formatter_class": _HelpFormatter, "allow_abbrev": False}
        super().__init__(description=description, usage=usage, add_help=add_help, **settings)

    def error(self, message: str) -> None:
        raise InputError(f"{message:.300}; see --help")


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


def add_resume_flag(group: Any) -> None:
    """Going on where an interrupted run was; of a parser or a group of flags."""
    text = "keep what an interrupted run of the same command has finished (default: begin anew)"
    group.add_argument("--resume", action="store_true", help=text)


def about(arguments: argparse.Namespace) -> dict[str, Any]:
    """The parsed arguments that results depend on: all but where they go, and whether they are gone on with."""
    return {name: value for name, value in vars(arguments).items() if name not in ("output_path", "resume")}


def given_flags(arguments: argparse.Namespace, *classes: type) -> dict[str, Any]:
    """The parsed arguments that are fields of the classes: what the command line says, for `build`."""
    known = fields_of(classes)
    return {name: value for name, value in vars(arguments).items() if name in known}


def rate(text: str) -> Fraction:
    """Frames a second, such as 24 or 30000/1001: the type of a flag."""
    try:
        if "e" in text.lower() and not _SLOWEST <= abs(float(text)) <= _FASTEST:
            raise ValueError  # before a number of a million digits is made of it
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is no frame rate; write 24 or 30000/1001") from None


def _add_flag(group: Any, one: Field) -> None:
    forms = parse(one.type)
    shown = next(form for form in forms if form.kind != "None")
    nargs = "?" if shown.kind == "bool" else "+" if any(form.kind == "tuple" for form in forms) else None
    settings = {"nargs": nargs, "const": True} if nargs == "?" else {"nargs": nargs}
    settings.update(metavar=_placeholder(shown), help=explain(one).replace("%", "%%"), default=argparse.SUPPRESS)
    group.add_argument(f"--{one.name}", action=_Reading, forms=forms, **settings)


def _placeholder(form: Form) -> str:
    if form.kind == "tuple":  # argparse repeats it
        item = form.items[0][0]
        return "x".join(_placeholder(part[0]) for part in item.items) or _placeholder(item)
    return _PLACEHOLDERS[form.kind]


class _Reading(argparse.Action):
    """Stores the words of a flag as the first of some forms that takes them."""

    def __init__(self, *args: Any, forms: tuple[Form, ...], **settings: Any):
        super().__init__(*args, **settings)
        self.forms = forms

    def __call__(self, parser, namespace, values, option_string=None):
        words = values if isinstance(values, list) else [values]
        try:
            value = values if values is True else _read(words, self.forms)
        except ValueError:
            joined = ", joined by x" if "x" in self.metavar else ""
            message = f"{' '.join(words)!r} must be {describe(self.forms)}{joined}"
            raise argparse.ArgumentError(self, message) from None
        setattr(namespace, self.dest, value)


def _read(words: list[str], forms: tuple[Form, ...]) -> Any:
    """Words of the command line as the first of the forms that takes them. Raises ValueError if none does."""
    for form in sorted(forms, key=lambda form: [*_READ, "tuple"].index(form.kind)):
        try:
            if form.kind == "tuple":
                return tuple(_read(_parts(word, items), items) for word, items in form.matched(words))
            if len(words) == 1:
                return _READ[form.kind](words[0])
        except (ValueError, KeyError):
            continue
    raise ValueError


def _parts(word: str, forms: tuple[Form, ...]) -> list[str]:
    """The numbers of a list inside a list, which is written 192x256; else the word itself."""
    return word.lower().split("x") if forms[0].kind == "tuple" else [word]


def _stop(message: str, code: int) -> int:
    if sys.stderr is not None:
        sys.stderr.write(message.replace("\n", "\\n") + "\n")
    return code
