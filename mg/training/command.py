"""The command that trains: its flags, and the recipe that they and a file make."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from mg import cli
from mg.config import read_recipe
from mg.errors import InputError
from mg.training.config import TrainingConfig
from mg.training.recipe import Recipe, recipe_classes

_USAGE = "%(prog)s --config RECIPE --output_path FOLDER [--resume [CHECKPOINT]] [--SETTING VALUE ...]"


def parse(
    description: str, arguments: list[str] | None = None, model: str | None = None
) -> tuple[Recipe, argparse.Namespace]:
    """The recipe that a command line asks for, and its output_path and resume.

    model: the family where neither the recipe nor a flag names one; None: the default one. Raises InputError.
    """
    start = {} if model is None else {"model": model}
    file = _recipe_file(arguments)
    classes = recipe_classes(_family({**start, **file}, arguments))
    parser = cli.ArgumentParser(description, _USAGE)
    group = parser.add_argument_group("Run")
    group.add_argument("--config", metavar="RECIPE", help="YAML file of settings; flags win (default none)")
    group.add_argument("--output_path", metavar="FOLDER", required=True, help="the run folder (required)")
    text = "go on from this checkpoint, or from the newest of the run folder (default none)"
    group.add_argument("--resume", nargs="?", const=True, default=False, type=_resume, metavar="CHECKPOINT", help=text)
    cli.add_flags(parser, *classes)
    args = parser.parse_args(arguments)
    if args.resume == "" or not args.output_path.strip():
        raise InputError("--output_path and --resume take names that are not empty; name one")
    return Recipe.of(start, file, cli.given_flags(args, *classes)), args


def train(recipe: Recipe, args: argparse.Namespace) -> int:
    """Train as `parse` understood the command line; the exit code."""
    from mg.training import loop  # here, so that --help need not wait for it

    return loop.train(recipe, args.output_path, args.resume)


def _recipe_file(arguments: list[str] | None) -> dict[str, Any]:
    path = _given("config", arguments)
    return {} if path is None else read_recipe(path)


def _family(settings: Mapping[str, Any], arguments: list[str] | None) -> str:
    """The family that a flag or `settings` names, known before all flags are: it decides which there are."""
    named = _given("model", arguments)
    settings = settings if named is None else {"model": named}
    return TrainingConfig(**{name: value for name, value in settings.items() if name == "model"}).model


def _given(flag: str, arguments: list[str] | None) -> str | None:
    """What a command line gives one flag."""
    parser = cli.ArgumentParser("", add_help=False)
    parser.add_argument(f"--{flag}")
    return getattr(parser.parse_known_args(arguments)[0], flag)


def _resume(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)
