"""Configurations: frozen dataclasses whose fields carry default, range and help; recipes and flags have their names.

    @dataclass(frozen=True)
    class Sizes:
        steps: int = setting(10, "how long it goes on", least=1, unit="steps")
        kind: str = setting("fast", "how it goes", choices=("fast", "slow"))
        __post_init__ = check

A recipe is flat YAML whose keys are the fields of such classes; mg/checks.py says which annotations they may have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mg.checks import LARGEST, LARGEST_WHOLE, Rule, between, describe, fit, is_whole, parse, parts
from mg.errors import InputError
from mg.files import require_file, whole_file

Config = TypeVar("Config")
_RECIPES = Path(__file__).with_name("configs")


def setting(
    default: Any,
    help: str,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] | Callable[[], tuple[str, ...]] | None = None,
    unit: str = "",
) -> Any:
    """A field of a configuration. help: what it is, in a few words.

    default: MISSING where a value must be given, or a function that makes it when it is needed.
    least, most: range of its numbers, ends included; choices: what its texts may be, or a function that says so when it
    is asked; unit: of its numbers, such as "frames".
    """
    kind = "default_factory" if callable(default) else "default"
    return field(**{kind: default}, metadata={"rule": Rule(help, least, most, choices, unit)})


def check(config: Any) -> None:
    """Check every field of a frozen dataclass by its annotation and its `setting`; to be called in `__post_init__`.

    Lists become tuples, whole numbers floats where a field is one. Numbers must be finite, texts not empty. Raises
    InputError, naming the field, the value, the rule and the remedy.
    """
    for one in fields(config):
        object.__setattr__(config, one.name, _checked(one, getattr(config, one.name)))


def from_mapping(cls: type[Config], mapping: Mapping[str, Any], what: str = "config") -> Config:
    """An instance of a configuration class from all that a file says of it: the one builder for all files.

    Missing keys take their defaults. Raises InputError, which begins with `what`, for what is no mapping, for unknown
    and missing keys (the nearest one is named), and for what the class itself refuses.
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"{what} is a {type(mapping).__name__}, but must be a mapping of names to values; correct it")
    try:
        return build((cls,), mapping)[0]
    except InputError as error:
        raise InputError(f"{what}: {error}") from None


def build(classes: tuple[type, ...], *mappings: Mapping[str, Any]) -> tuple:
    """One instance of each class from all mappings; later ones win. Raises InputError as `from_mapping` does."""
    known = fields_of(classes)
    given = {name: value for mapping in mappings for name, value in mapping.items()}
    unknown = [name for name in given if name not in known]
    if unknown:
        nearest = get_close_matches(str(unknown[0]), known, 1, 0.0)
        hint = f"; did you mean {nearest[0]}? Correct or remove it" if nearest else "; remove it"
        raise InputError(f"unknown key {', '.join(map(str, unknown))}{hint}")
    missing = [one.name for one in known.values() if one.name not in given and is_required(one)]
    if missing:
        raise InputError(f"{', '.join(missing)} must be given: there is no default")
    return tuple(cls(**{f.name: given[f.name] for f in fields(cls) if f.name in given}) for cls in classes)


def as_mapping(*instances: Any) -> dict[str, Any]:
    """All fields of the instances as YAML and JSON hold them; `build` makes equal instances of it."""
    fields_of(tuple(type(instance) for instance in instances))
    return {f.name: _listed(getattr(instance, f.name)) for instance in instances for f in fields(instance)}


def defaults(*classes: type) -> dict[str, Any]:
    """The default of every field that has one, as `as_mapping` gives values."""
    values = {one.name: default_of(one) for cls in classes for one in fields(cls)}
    return {name: _listed(value) for name, value in values.items() if value is not MISSING}


def read_recipe(path: Path | str) -> dict[str, Any]:
    """Read a YAML file of `name: value` lines. Refuses duplicate names, and whatever is not such a file.

    A path below "configs" that does not exist here is that of the recipes that come with the package.
    """
    if not Path(path).exists() and Path(path).parts[:1] == (_RECIPES.name,):
        path = _RECIPES.parent / path
    path = require_file(path, "a recipe (YAML)")
    try:
        loader = _Loader(path.read_bytes())
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
        text = yaml.dump(dict(mapping), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
        part.write_text(text, encoding="utf-8")


def explain(one: Field) -> str:
    """What a field is, and in brackets its unit, its range or choices, and its default."""
    rule = rule_of(one)
    facts = [rule.unit, between(rule.least, rule.most).removeprefix("of ")]
    facts.append(rule.allowed and f"one of {', '.join(rule.allowed)}")
    facts.append("required" if is_required(one) else f"default {written(default_of(one))}")
    return f"{rule.help} ({'; '.join(filter(None, facts))})".lstrip()


def fields_of(classes: tuple[type, ...]) -> dict[str, Field]:
    """Fields by name. Raises ValueError when two classes share a name: a mistake in the program."""
    known = {}
    for cls in classes:
        for one in fields(cls):
            if one.name in known:
                raise ValueError(f"{cls.__name__}.{one.name}: another config has a field of that name")
            known[one.name] = one
    return known


def rule_of(one: Field) -> Rule:
    """What its `setting` says of a field."""
    return one.metadata.get("rule", Rule())


def is_required(one: Field) -> bool:
    """Whether a field has no default."""
    return one.default is one.default_factory is MISSING


def default_of(one: Field) -> Any:
    """A field's default, or MISSING."""
    return one.default if one.default_factory is MISSING else one.default_factory()


def written(value: Any) -> str:
    """A value as one writes it on the command line."""
    if isinstance(value, tuple) and value:
        return " ".join("x".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in value)
    return "none" if value is None or value == () else str(value)


def _checked(one: Field, value: Any) -> Any:
    """The value as its field's annotation has it. Raises InputError."""
    rule, forms = rule_of(one), parse(one.type)
    try:
        fitted = fit(value, forms)
    except ValueError:
        raise _refused(one, value) from None
    for part in parts(fitted):
        if isinstance(part, str) and not part.strip():
            raise InputError(f"{one.name} is an empty name; name one, or leave it out")
        if isinstance(part, float) and not abs(part) <= LARGEST:
            raise InputError(f"{one.name}={part!r} must be finite, and no larger than {LARGEST:g}; correct it")
        if not rule.takes(part):
            raise _refused(one, value)
        if is_whole(part) and abs(part) > LARGEST_WHOLE:
            raise InputError(f"{one.name}={part!r:.60} must be no larger than {LARGEST_WHOLE}; correct it")
    return fitted


def _refused(one: Field, value: Any) -> InputError:
    """The error for a value that is of another type, out of range or none of the choices."""
    rule, default = rule_of(one), default_of(one)
    if rule.allowed:
        return InputError(f"{one.name}={value!r:.60} is unknown; use one of {', '.join(rule.allowed)}")
    wanted = describe(parse(one.type), between(rule.least, rule.most))
    remedy = "" if default in (MISSING, None, ()) else f", or leave it out for {written(default)}"
    return InputError(f"{one.name}={value!r:.60} must be {wanted}; correct it{remedy}")


def _listed(value: Any) -> Any:
    """Tuples, however deep, as lists."""
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


class _Loader(yaml.SafeLoader):
    """YAML whose numbers may be written 1e-6, which YAML 1.1 takes for text."""


class _Dumper(yaml.SafeDumper):
    """Its counterpart, which quotes texts that look like such numbers."""


_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))


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
