"""Recipes: flat YAML whose keys are the fields of config dataclasses; command-line flags are the same names again.

Annotations of those fields are made of int, float, str, bool, tuple[X, ...], tuple[X, Y] and None, joined by "|". They
are read as text, since Python 3.9 cannot evaluate them.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from mg.errors import InputError
from mg.files import require_file, whole_file

_WORDS = {"int": "a whole number", "float": "a number", "str": "text", "bool": "True or False", "None": "None"}
_TRUTH = {"true": True, "false": False}


def read_recipe(path: Path | str) -> dict[str, Any]:
    """Read a YAML file of `name: value` lines. Refuses duplicate names, and whatever is not such a file."""
    path = require_file(path, "a recipe (YAML)")
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        node = loader.get_single_node()
        _check_names(path, node)
        return loader.construct_document(node)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:  # tags such as !!int ""
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: " if mark else ""
        problem = (problem or str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"'{path}' is not YAML ({place}{problem}); correct it") from None


def write_recipe(path: Path | str, mapping: Mapping[str, Any]) -> None:
    """Write what `read_recipe` reads, in the order of `mapping`."""
    with whole_file(path) as part:
        part.write_text(yaml.safe_dump(dict(mapping), sort_keys=False, allow_unicode=True), encoding="utf-8")


def add_flags(parser: argparse.ArgumentParser, *classes: type) -> None:
    """Add a flag for each field of the classes, with their docstrings as explanations.

    A flag that is not given leaves nothing in the parsed arguments.
    """
    _annotations(classes)
    for cls in classes:
        title, _, text = inspect.getdoc(cls).partition("\n")
        group = parser.add_argument_group(title.rstrip("."), text.strip().replace("%", "%%"))
        for field in fields(cls):
            _add_flag(group, field.name, field.type, "" if field.default is MISSING else f"default {field.default}")


def given_flags(arguments: argparse.Namespace, *classes: type) -> dict[str, Any]:
    """The parsed arguments that are fields of the classes: what the command line says, for `build`."""
    known = _annotations(classes)
    return {name: value for name, value in vars(arguments).items() if name in known}


def build(classes: tuple[type, ...], *mappings: Mapping[str, Any]) -> tuple:
    """One instance of each class from all mappings; later ones win.

    Raises InputError for unknown and missing names and for values of another type. A float may be given as a whole
    number or as text (YAML reads 1e-6 as text), a tuple as a list.
    """
    known = _annotations(classes)
    given = {name: value for mapping in mappings for name, value in mapping.items()}
    _require_known(given, known)
    values = {name: _typed(name, value, known[name]) for name, value in given.items()}
    required = [f.name for cls in classes for f in fields(cls) if f.default is f.default_factory is MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise InputError(f"{', '.join(missing)} must be given, in the recipe or as --{missing[0]}")
    return tuple(cls(**{f.name: values[f.name] for f in fields(cls) if f.name in values}) for cls in classes)


def as_mapping(*instances: Any) -> dict[str, Any]:
    """All fields of the instances as YAML and JSON hold them; `build` makes equal instances of it."""
    _annotations(tuple(type(instance) for instance in instances))
    values = {f.name: getattr(instance, f.name) for instance in instances for f in fields(instance)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def defaults(*kinds: type) -> dict[str, Any]:
    """The default of every field that has one, as `as_mapping` gives values."""
    values = {f.name: f.default for kind in kinds for f in fields(kind) if f.default is not MISSING}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _check_names(path: Path, node: yaml.Node | None) -> None:
    """Refuse what is not a mapping, names that are not text and names that come twice."""
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"'{path}' is no recipe: it must be lines of `name: value`; correct it")
    seen = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            raise InputError(f"'{path}' line {line}: {key.value!r:.60} is no name of a setting; correct it")
        if key.value in seen:
            raise InputError(f"'{path}' line {line}: {key.value} stands in line {seen[key.value]} too; remove one")
        seen[key.value] = line


def _annotations(classes: tuple[type, ...]) -> dict[str, str]:
    """Field name -> annotation as text. Raises ValueError when two classes share a name: a mistake in the program."""
    known = {}
    for cls in classes:
        for field in fields(cls):
            if field.name in known:
                raise ValueError(f"{cls.__name__}.{field.name}: another config has a field of that name")
            known[field.name] = field.type
    return known


def _require_known(given: Mapping[str, Any], known: Mapping[str, str]) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        nearest = get_close_matches(str(unknown[0]), known, 1, 0.0)
        raise InputError(f"unknown key {', '.join(map(str, unknown))}; did you mean {nearest[0]}? Correct or remove it")


def _typed(name: str, value: Any, annotation: str) -> Any:
    for form in annotation.split(" | "):
        try:
            return _fit(value, form)
        except (ValueError, OverflowError):
            continue
    raise InputError(f"{name}={value!r:.60} must be {_wanted(annotation)}; correct it")


def _fit(value: Any, form: str) -> Any:
    """`value` as the type `form`, one alternative of an annotation. Raises ValueError when it is something else."""
    if form.startswith("tuple["):
        return _fit_tuple(value, form[len("tuple[") : -1].split(", "))
    if form == "float" and type(value) in (int, str):
        return float(value)
    if type(value).__name__.replace("NoneType", "None") != form:
        raise ValueError
    return value


def _fit_tuple(value: Any, items: list[str]) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise ValueError
    if items[-1] == "...":
        items = items[:1] * len(value)
    if len(items) != len(value):
        raise ValueError
    return tuple(_fit(part, item) for part, item in zip(value, items))


def _wanted(annotation: str) -> str:
    words = []
    for form in annotation.split(" | "):
        items = form[len("tuple[") : -1].split(", ") if form.startswith("tuple[") else []
        count = "" if "..." in items else f"{len(items)} "
        words.append(f"a list of {count}values, each {_WORDS[items[0]]}" if items else _WORDS[form])
    return " or ".join(words)


def _add_flag(group: Any, name: str, annotation: str, note: str) -> None:
    forms = annotation.split(" | ")
    several = [form for form in forms if form.startswith("tuple[")]
    words = [form for form in forms if form not in several]
    parts = [form[len("tuple[") :].split(",")[0].rstrip("]") for form in several]

    def from_text(text: str) -> Any:
        return _from_text(text, words + parts)

    settings = {"type": from_text, "default": argparse.SUPPRESS, "help": note.replace("%", "%%")}
    if several:
        group.add_argument(f"--{name}", nargs="+", action=_OneOrMore, single=tuple(words), metavar="X", **settings)
    elif "bool" in words:
        group.add_argument(f"--{name}", nargs="?", const=True, metavar="True|False", **settings)
    else:
        group.add_argument(f"--{name}", metavar="X", **settings)


class _OneOrMore(argparse.Action):
    """Keeps one word as a single value where the field also takes one, several as a tuple."""

    def __init__(self, *args: Any, single: tuple[str, ...], **settings: Any):
        super().__init__(*args, **settings)
        self.single = single

    def __call__(self, parser, namespace, values, option_string=None):
        alone = len(values) == 1 and type(values[0]).__name__.replace("NoneType", "None") in self.single
        setattr(namespace, self.dest, values[0] if alone else tuple(values))


def _from_text(text: str, forms: list[str]) -> Any:
    if "None" in forms and text.lower() == "none":
        return None
    if "bool" in forms and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    for form, kind in (("int", int), ("float", float), ("str", str)):
        if form in forms:
            try:
                return kind(text)
            except ValueError:
                continue
    raise argparse.ArgumentTypeError(f"{text!r} must be {' or '.join(dict.fromkeys(_WORDS[form] for form in forms))}")
