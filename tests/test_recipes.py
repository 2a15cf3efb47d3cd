"""Recipes and flags: what is read, what is refused, what comes back."""

from __future__ import annotations

import argparse
import json
import math
import re
import runpy
from dataclasses import MISSING, dataclass, make_dataclass
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from mg.cli import add_flags, given_flags
from mg.config import (
    as_mapping,
    build,
    check,
    defaults,
    from_mapping,
    read_recipe,
    setting,
    write_recipe,
)
from mg.data.config import DataConfig
from mg.errors import InputError
from mg.losses.objective import ObjectiveConfig


@dataclass(frozen=True)
class Sizes:
    """Sizes of all kinds, 100 % made up.

    More text.
    """

    rate: float = setting(1e-4, "how fast", 0)
    steps: int = setting(10, "how long, 100 % of it", 1, 1000, unit="steps")
    name: str = setting("a", "what it is called")
    kind: str = setting("fast", "which one", choices=("fast", "slow"))
    fast: bool = False
    limit: float | None = None
    seed: int | None = 3
    side: int | tuple[int, int] = setting(8, "of a square, or two of a rectangle", 1)
    buckets: tuple[int, ...] = ()
    patterns: tuple[str, ...] | None = None
    betas: tuple[float, float] = setting((0.9, 0.999), "decays", 0, 1)
    weight: float | tuple[float, float, int] = setting(1.0, "or from, to, steps", 0)
    factors: float | tuple[float, ...] = 1.0
    sizes: tuple[tuple[int, int], ...] = setting((), "height x width", 16)

    __post_init__ = check


@dataclass(frozen=True)
class Place:
    """Where to write."""

    output_path: str = setting(MISSING, "a folder")

    __post_init__ = check


def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def parsed(*words, classes=(Sizes,)):
    parser = argparse.ArgumentParser()
    add_flags(parser, *classes)
    return given_flags(parser.parse_args(words), *classes)


def test_a_recipe_is_read(tmp_path):
    text = "rate: 1e-6  # comment\nside: [4, 8]\nname: '1e-6'\nlimit:\nbetas: [0, 1.5e3]\n"
    expected = {"rate": 1e-6, "side": [4, 8], "name": "1e-6", "limit": None, "betas": [0, 1500.0]}
    assert read_recipe(recipe(tmp_path, text)) == expected
    write_recipe(tmp_path / "again.yaml", expected)
    assert read_recipe(tmp_path / "again.yaml") == expected


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
    words = "--weight 0 1 100 --factors 2 --sizes 192x256 256X192"
    assert parsed(*words.split()) == {
        "weight": (0.0, 1.0, 100),
        "factors": 2.0,
        "sizes": ((192, 256), (256, 192)),
    }
    assert parsed("--weight", "2", "--factors", "1", "2") == {"weight": 2.0, "factors": (1.0, 2.0)}
    assert parsed() == {}


@pytest.mark.parametrize("word, value", [("True", True), ("true", True), ("FALSE", False), ("False", False)])
def test_a_switch_takes_true_and_false(word, value):
    assert parsed("--fast", word) == {"fast": value}


@pytest.mark.parametrize(
    "words",
    [
        *("--steps 1.5", "--rate x", "--fast maybe", "--side 4 x", "--betas None 1", "--new 1"),
        *("--sizes 192", "--sizes 192x256x3", "--sizes 192xa"),
    ],
)
def test_flags_of_another_type_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        parsed(*words.split())
    assert words.split()[0] in capsys.readouterr().err


def flags_of(text):
    """Flag -> its explanation, from the text of --help."""
    entries = re.split(r"\n  (?=-)", text)[1:]
    entries = [re.split(r"\n\n|\n(?=\S)", entry)[0] for entry in entries]
    found = [re.fullmatch(r"(?:-\w, )?--(\w+)(.*?)(?:  +|\n +)(\S.*)", entry, re.DOTALL) for entry in entries]
    return {match[1]: " ".join(match[3].split()) for match in found}


def test_help_says_what_each_flag_is_may_be_and_is_by_default(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    parser = argparse.ArgumentParser()
    add_flags(parser, Sizes, Place)
    text = parser.format_help()
    assert "100 % made up:" in text and "--fast [True|False]" in text and "--sizes NxN [NxN ...]" in text
    assert text.index("made up:") < text.index("\n  --rate") < text.index("to write:") < text.index("\n  --output_path")
    flags = flags_of(text)
    assert flags["steps"] == "how long, 100 % of it (steps; from 1 to 1000; default 10)"
    assert flags["rate"] == "how fast (at least 0; default 0.0001)"
    assert flags["kind"] == "which one (one of fast, slow; default fast)"
    assert flags["betas"] == "decays (from 0 to 1; default 0.9 0.999)"
    assert flags["limit"] == "(default none)" and flags["output_path"] == "a folder (required)"


def parser_of(script):
    path = ROOT / ("mg/commands/train.py" if script == "train" else f"scripts/{script}.py")
    return runpy.run_path(str(path))["parse_args"]


@pytest.mark.parametrize("script", ["train", "train_tae"])
def test_help_of_training_explains_every_flag(script, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit):
        parser_of(script)(["--help"])
    text = capsys.readouterr().out
    flags = flags_of(text)
    assert {"config", "output_path", "resume", "max_steps", "size_buckets", "kl_weight"} <= set(flags)
    assert len(flags) == text.count("\n  --") + 1 > 60
    assert len(re.findall(r"^\S.*:$", text, re.MULTILINE)) >= 4  # groups
    for flag, words in flags.items():
        if flag != "help":
            assert re.fullmatch(r"\w.*\((.*; )?(default \S.*|required)\)", words), f"--{flag} {words}"


@pytest.mark.parametrize(
    "words, message",
    [
        ("--max_steps 0", "max_steps=0 must be a whole number of at least 1; correct it, or leave it out for 100000"),
        ("--model none_such", "model='none_such' is unknown; use one of tae"),
        ("--betas 0.9 1", "betas: an average that decays by 1.0 would never move; use less"),
        ("--disc_optimizer adam", "disc_optimizer='adam' is unknown; use one of adamw, muon, sgd"),
        ("--seed -1", "seed=-1 must be a whole number from 0 to 4294967295"),
        ("--learning_rate nan", "learning_rate=nan must be finite"),
        (
            "--size_buckets 64",
            "'64' must be a list of values, each a list of 2 values, each a whole number, joined by x",
        ),
        ("--size_buckets 64x8", "size_buckets=((64, 8),) must be a list of values, each a list of 2 values"),
        ("--output_path=", "names that are not empty"),
    ],
)
def test_a_wrong_flag_of_training_names_rule_and_remedy(words, message):
    parse = parser_of("train")
    with pytest.raises(InputError) as error:
        parse(["--output_path", "runs/a", "--video_folder", "v", "--perceptual_weight", "0", *words.split()])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_flag_wins_over_the_recipe_and_the_recipe_over_the_script(tmp_path):
    parse = parser_of("train_tae")
    words = ["--output_path", "runs/a", "--video_folder", "v", "--perceptual_weight", "0"]
    path = recipe(tmp_path, "max_steps: 7\nlearning_rate: 1e-3\n")
    made, args = parse([*words, "--config", str(path), "--max_steps", "9", "--resume"])
    assert (made.training.model, made.training.max_steps, made.training.learning_rate) == ("tae", 9, 1e-3)
    assert (args.output_path, args.resume) == ("runs/a", True)
    assert parse([*words, "--resume", "step_3"])[1].resume == "step_3"
    assert parse([*words, "--resume", "False"])[1].resume is False
    with pytest.raises(InputError, match="model='none_such' is unknown"):
        parse([*words, "--config", str(recipe(tmp_path, "model: none_such\n"))])


def test_two_classes_with_one_name_are_a_mistake():
    for act in (lambda: add_flags(argparse.ArgumentParser(), Sizes, Sizes), lambda: build((Sizes, Sizes), {})):
        with pytest.raises(ValueError, match=r"Sizes\.rate"):
            act()


def test_later_mappings_win_and_flags_are_the_last():
    (sizes,) = build((Sizes,), {"rate": 1e-6, "steps": 7, "side": [4, 8]}, parsed("--steps", "9"))
    assert sizes == Sizes(rate=1e-6, steps=9, side=(4, 8))
    (sizes,) = build((Sizes,), {"rate": 1, "betas": [0, 1e-1], "buckets": []})
    assert type(sizes.rate) is float and sizes.betas == (0.0, 0.1) and sizes.buckets == ()


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({"rate": "fast"}, "rate='fast' must be a number"),
        ({"rate": True}, "rate=True must be a number"),
        ({"rate": None}, "rate=None must be a number"),
        ({"rate": 10**400}, "must be a number"),
        ({"rate": "1e-6"}, "rate='1e-6' must be a number of at least 0"),
        ({"steps": 1.0}, "steps=1.0 must be a whole number from 1 to 1000; correct it, or leave it out for 10"),
        ({"steps": True}, "steps=True must be a whole number"),
        ({"fast": "True"}, "fast='True' must be True or False"),
        ({"fast": 1}, "fast=1 must be True or False"),
        ({"name": 5}, "name=5 must be text"),
        ({"limit": "x"}, "limit='x' must be a number or None"),
        ({"side": [1, 2, 3]}, "of at least 1 or a list of 2 values, each a whole number of at least 1"),
        ({"buckets": 9}, "buckets=9 must be a list of values, each a whole number"),
        ({"buckets": [1, 2.5]}, "must be a list of values, each a whole number"),
        ({"name": {"nested": 1}}, "must be text"),
        ({"weight": [0, 1]}, "of at least 0 or a list: a number of at least 0, a number of at least 0, a whole number"),
        ({"sizes": [192, 256]}, "must be a list of values, each a list of 2 values, each a whole number"),
    ],
)
def test_values_of_another_type_are_refused(given, wanted):
    with pytest.raises(InputError, match="correct it") as error:
        build((Sizes,), given)
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"steps": 0}, "steps=0 must be a whole number from 1 to 1000; correct it, or leave it out for 10"),
        ({"steps": 1001}, "steps=1001 must be a whole number from 1 to 1000; correct it, or leave it out for 10"),
        ({"betas": (0.5, 1.5)}, "betas=(0.5, 1.5) must be a list of 2 values, each a number from 0 to 1; correct it"),
        ({"rate": math.nan}, "rate=nan must be finite, and no larger than 1e+30; correct it"),
        ({"limit": -math.inf}, "limit=-inf must be finite"),
        ({"factors": [1, 1e31]}, "factors=1e+31 must be finite"),
        ({"kind": "slo"}, "kind='slo' is unknown; use one of fast, slow"),
        ({"kind": 5}, "kind=5 is unknown; use one of fast, slow"),
        ({"name": " "}, "name is an empty name; name one, or leave it out"),
        ({"patterns": ["a", ""]}, "patterns is an empty name"),
        ({"sizes": [(16, 15)]}, "each a whole number of at least 16"),
    ],
)
def test_an_error_names_field_value_rule_and_remedy(given, message):
    for make in (lambda: Sizes(**given), lambda: build((Sizes,), given)):
        with pytest.raises(InputError) as error:
            make()
        assert str(error.value).startswith(message) or message in str(error.value)
    with pytest.raises(InputError) as error:
        from_mapping(Sizes, given, "'a.safetensors'")
    assert str(error.value).startswith("'a.safetensors': ") and message in str(error.value)


def test_values_take_one_form():
    sizes = Sizes(rate=1, side=[4, 8], name=Path("a"), sizes=[[16, 32]], factors=[1, 2], weight=2)
    assert (type(sizes.rate), sizes.side, sizes.name, sizes.sizes) == (float, (4, 8), "a", ((16, 32),))
    assert sizes.factors == (1.0, 2.0) and sizes.weight == 2.0
    assert as_mapping(sizes)["sizes"] == [[16, 32]]
    assert defaults(Sizes, Place) == as_mapping(Sizes())


def test_a_class_made_on_the_way_is_checked_like_others():
    fields = [("weight", "float | tuple[float, float, float]", setting(0.0, "of a term", 0))]
    made = make_dataclass("Terms", fields, frozen=True, namespace={"__post_init__": check, "__doc__": "Terms."})
    assert build((made,), parsed("--weight", "0", "1", "5", classes=(made,))) == (made((0.0, 1.0, 5.0)),)
    with pytest.raises(InputError, match="weight=-1 must be a number of at least 0 or a list of 3"):
        made(-1)


def test_choices_and_defaults_may_be_found_when_they_are_needed():
    known = ["a"]

    @dataclass(frozen=True)
    class Late:
        model: str = setting(lambda: known[0], "which", choices=lambda: tuple(known))
        __post_init__ = check

    assert Late().model == "a" and defaults(Late) == {"model": "a"}
    with pytest.raises(InputError, match=r"use one of a$"):
        Late("b")
    known.append("b")
    assert Late("b").model == "b"


def test_an_annotation_that_no_setting_may_have_is_a_mistake_in_the_program():
    for annotation in ("list[int]", "tuple[]", "dict", 5):
        with pytest.raises(TypeError, match="annotation"):
            make_dataclass("Wrong", [("x", annotation, 1)], namespace={"__post_init__": check})()


def test_a_mapping_of_a_file_is_strict():
    assert from_mapping(Sizes, {"steps": 3}) == Sizes(steps=3)
    with pytest.raises(InputError, match=r"^header of x is a list, but must be a mapping"):
        from_mapping(Sizes, [("steps", 3)], "header of x")
    with pytest.raises(InputError, match=r"^config: unknown key stepz, 5; did you mean steps"):
        from_mapping(Sizes, {"stepz": 3, 5: 1})
    with pytest.raises(InputError, match=r"^config: output_path must be given"):
        from_mapping(Place, {})


def test_unknown_and_missing_names_are_refused():
    with pytest.raises(InputError, match="unknown key step, blob; did you mean steps"):
        build((Sizes,), {"step": 1, "rate": 1, "blob": 2})
    with pytest.raises(InputError, match="output_path must be given: there is no default"):
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
