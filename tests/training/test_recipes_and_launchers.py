"""Every training of docs/training.md is one that the script takes; recipes and launchers are whole."""

import re
import runpy
import shlex
import subprocess
from dataclasses import fields

import pytest
from conftest import ROOT

from mg.config import read_recipe
from mg.models import families
from mg.models.discriminators import DISCRIMINATORS
from mg.training.recipe import Recipe, recipe_classes

TEXT = (ROOT / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python scripts/train_tae.py")])
def test_training_commands_parse(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    parse = runpy.run_path(str(ROOT / "scripts" / "train_tae.py"))["parse_args"]
    recipe, args = parse(shlex.split(command)[2:])
    assert args.output_path.startswith("runs/")
    assert recipe.data.video_folder


def test_there_are_commands():
    assert len(COMMANDS) >= 15


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "configs").glob("*/train/**/*.yaml")),
    ids=lambda path: str(path.relative_to(ROOT / "configs")),
)
def test_recipes_are_whole(path):
    family = path.relative_to(ROOT / "configs").parts[0]
    chosen = Recipe.of(read_recipe(path), {"video_folder": "clips"})
    assert chosen.training.model == family
    assert chosen.data.image_size
    assert chosen.objective.weights
    DISCRIMINATORS[chosen.adversarial.disc_kind](4, chosen.clip_shape)  # which may refuse clips of that size
    config = chosen.training.model_config
    assert config is None or families.family_of(family).config_type.from_mapping(read_recipe(ROOT / config))


def test_every_key_is_documented():
    text = TEXT + (ROOT / "docs" / "losses.md").read_text()
    keys = [field.name for config in recipe_classes() for field in fields(config)]
    assert len(keys) > 50
    assert not [key for key in keys if f"`{key}`" not in text]


def test_launchers_pass_their_flags_on(tmp_path):
    """With a stand-in for python that prints what it is given."""
    (tmp_path / "python").write_text('#!/bin/bash\necho "$(basename "$0") $*"\n')
    (tmp_path / "python").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CARDS": "4"}

    def launch(script, *words):
        command = ["bash", str(ROOT / "scripts" / "launch" / script), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    tail = "scripts/train.py --config r.yaml --output_path run --device_target Ascend --batch_size 2"
    words = ("r.yaml", "run", "--batch_size", "2")
    assert launch("train_1_card.sh", *words).stdout.strip() == f"python {tail}"
    assert launch("train_8_cards.sh", *words).stdout.strip() == f"python scripts/launch/ranks.py 4 {tail}"
    hosts = ("--master_addr", "10.0.0.1", "--hosts", "3", "--node_rank", "2")
    many = launch("train_hosts.sh", *hosts, *words).stdout.strip()
    told = "--hosts 3 --host 2 --address 10.0.0.1 --port 8118 4"
    assert many == f"python scripts/launch/ranks.py {told} {tail}"
    assert launch("train_hosts.sh", *hosts[2:], *words).returncode != 0
