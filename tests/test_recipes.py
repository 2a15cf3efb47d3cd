"""Recipes and flags: what is read, what is refused, what comes back."""

from __future__ import annotations

import argparse
import re
import runpy

import pytest
from conftest import ROOT
from made_up import Place, Sizes, parsed

from mg.cli import add_flags
from mg.config import (
    read_recipe,
    write_recipe,
)
from mg.errors import InputError


def recipe(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


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
