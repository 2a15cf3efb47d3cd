"""Recipes and flags: what is read, what is refused, what comes back."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

import pytest
import yaml

from mg.cli import add_flags, given_flags
from mg.config import as_mapping, build, read_recipe, write_recipe
from mg.data.config import DataConfig
from mg.errors import InputError
from mg.losses.objective import ObjectiveConfig


@dataclass(frozen=True)
class Sizes:
    """Sizes of all kinds, 100 % made up.

    More text.
    """

    rate: float = 1e-4
    steps: int = 10
    name: str = "a"
    fast: bool = False
    limit: float | None = None
    seed: int | None = 3
    side: int | tuple[int, int] = 8
    buckets: tuple[int, ...] = ()
    patterns: tuple[str, ...] | None = None
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Place:
    """Where to write."""

    output_path: str


def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def parsed(*words, classes=(Sizes,)):
    parser = argparse.ArgumentParser()
    add_flags(parser, *classes)
    return given_flags(parser.parse_args(words), *classes)


def test_a_recipe_is_read(tmp_path):
    text = "rate: 1e-6  # comment\nside: [4, 8]\nname: 'x'\nlimit:\n"
    assert read_recipe(recipe(tmp_path, text)) == {"rate": "1e-6", "side": [4, 8], "name": "x", "limit": None}


@pytest.mark.parametrize(
    "text, words",
    [
        ("rate: 1\nsteps: 2\nrate: 3\n", ["line 3", "rate", "line 1"]),
        ("- rate\n", ["name: value"]),
        ("# nothing\n", ["name: value"]),
        ("rate: 1\n7: 2\n", ["line 2", "'7'"]),
        ("rate: 1\nyes: 2\n", ["line 2", "'yes'"]),
        ("rate: 1\nsteps: [1, 2\nname: x\n", ["not YAML", "line 3"]),
        ("rate: 1\n---\nsteps: 2\n", ["not YAML", "line 2"]),
        ("a: !!python/object:os.system x\n", ["not YAML", "line 1"]),
        (b"name: \xff\xfe\n", ["not YAML"]),
        ("name: 2024-13-45\n", ["not YAML", "month"]),
        (b"", ["empty"]),
    ],
)
def test_a_broken_recipe_is_one_line(tmp_path, text, words):
    with pytest.raises(InputError) as error:
        read_recipe(recipe(tmp_path, text))
    for word in [*words, "recipe.yaml"]:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no file '.*none\.yaml'.*recipe"):
        read_recipe(tmp_path / "none.yaml")


def test_flags_have_the_types_of_the_fields():
    words = "--rate 1e-6 --steps 5 --name None --fast --limit none --seed 4 --side 4 8 --buckets 1 9 --patterns a b"
    assert parsed(*words.split(), "--betas", "0", "0.5") == {
        "rate": 1e-6,
        "steps": 5,
        "name": "None",
        "fast": True,
        "limit": None,
        "seed": 4,
        "side": (4, 8),
        "buckets": (1, 9),
        "patterns": ("a", "b"),
        "betas": (0.0, 0.5),
    }
    assert parsed("--side", "4", "--buckets", "9") == {"side": 4, "buckets": (9,)}
    assert parsed("--patterns", "None", "--seed", "None", "--limit", "3") == {
        "patterns": None,
        "seed": None,
        "limit": 3.0,
    }
    assert parsed() == {}


@pytest.mark.parametrize("word, value", [("True", True), ("true", True), ("FALSE", False), ("False", False)])
def test_a_switch_takes_true_and_false(word, value):
    assert parsed("--fast", word) == {"fast": value}


@pytest.mark.parametrize(
    "words", ["--steps 1.5", "--rate x", "--fast maybe", "--side 4 x", "--betas None 1", "--new 1"]
)
def test_flags_of_another_type_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        parsed(*words.split())
    assert words.split()[0] in capsys.readouterr().err


def test_help_shows_defaults_and_the_purpose_of_each_class():
    parser = argparse.ArgumentParser()
    add_flags(parser, Sizes)
    text = parser.format_help()
    assert "100 % made up" in text and "default (0.9, 0.999)" in text and "--fast [True|False]" in text


def test_two_classes_with_one_name_are_a_mistake():
    for act in (lambda: add_flags(argparse.ArgumentParser(), Sizes, Sizes), lambda: build((Sizes, Sizes), {})):
        with pytest.raises(ValueError, match=r"Sizes\.rate"):
            act()


def test_later_mappings_win_and_flags_are_the_last():
    (sizes,) = build((Sizes,), {"rate": "1e-6", "steps": 7, "side": [4, 8]}, parsed("--steps", "9"))
    assert sizes == Sizes(rate=1e-6, steps=9, side=(4, 8))
    (sizes,) = build((Sizes,), {"rate": 1, "betas": [0, "1e-1"], "buckets": []})
    assert type(sizes.rate) is float and sizes.betas == (0.0, 0.1) and sizes.buckets == ()


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({"rate": "fast"}, "rate='fast' must be a number"),
        ({"rate": True}, "rate=True must be a number"),
        ({"rate": None}, "rate=None must be a number"),
        ({"rate": 10**400}, "must be a number"),
        ({"steps": 1.0}, "steps=1.0 must be a whole number"),
        ({"steps": True}, "steps=True must be a whole number"),
        ({"fast": "True"}, "fast='True' must be True or False"),
        ({"fast": 1}, "fast=1 must be True or False"),
        ({"name": 5}, "name=5 must be text"),
        ({"limit": "x"}, "limit='x' must be a number or None"),
        ({"side": [1, 2, 3]}, "must be a whole number or a list of 2 values, each a whole number"),
        ({"buckets": 9}, "buckets=9 must be a list of values, each a whole number"),
        ({"buckets": [1, 2.5]}, "must be a list of values, each a whole number"),
        ({"name": {"nested": 1}}, "must be text"),
    ],
)
def test_values_of_another_type_are_refused(given, wanted):
    with pytest.raises(InputError, match="correct it") as error:
        build((Sizes,), given)
    assert wanted in str(error.value)


def test_unknown_and_missing_names_are_refused():
    with pytest.raises(InputError, match="unknown key step, blob; did you mean steps"):
        build((Sizes,), {"step": 1, "rate": 1, "blob": 2})
    with pytest.raises(InputError, match="output_path must be given, in the recipe or as --output_path"):
        build((Sizes, Place), {"steps": 1})


def test_each_class_checks_its_own_values():
    with pytest.raises(InputError, match="csv_path is given without video_folder"):
        build((DataConfig, ObjectiveConfig), {"csv_path": "a.csv"})


def test_real_configs_come_back_from_json_and_from_a_recipe(tmp_path):
    classes = (DataConfig, ObjectiveConfig, Sizes)
    flags = "--video_folder é --image_size 64 --kl_weight 1e-7 --use_outlier_penalty_loss True --frame_buckets 1 9"
    instances = build(classes, parsed(*flags.split(), classes=classes))
    assert instances[0].image_size == (64, 64) and instances[1].use_outlier_penalty_loss
    mapping = as_mapping(*instances)
    assert build(classes, json.loads(json.dumps(mapping))) == instances
    write_recipe(tmp_path / "out" / "config.yaml", mapping)
    read = read_recipe(tmp_path / "out" / "config.yaml")
    assert build(classes, read) == instances and list(read) == list(mapping)
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text("utf-8"))["frame_buckets"] == [1, 9]
