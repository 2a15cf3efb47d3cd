"""What --help of every script says: each flag has a text, and numbers have defaults and units."""

import argparse
import re

import pytest
from calls import call_script
from conftest import ROOT

from mg import cli

SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))
UNTITLED = {"positional arguments", "options", "optional arguments"}


@pytest.fixture
def parsers(monkeypatch):
    """The parsers that a script prints the help of."""
    printed, print_help = [], argparse.ArgumentParser.print_help

    def kept(parser, file=None):
        printed.append(parser)
        print_help(parser, file)

    monkeypatch.setattr(argparse.ArgumentParser, "print_help", kept)
    return printed


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_has_a_text_and_a_group(script, parsers, tmp_path):
    done = call_script(f"scripts/{script}", "--help", cwd=tmp_path)
    (parser,) = parsers
    assert isinstance(parser, cli.ArgumentParser)
    assert parser.description.strip()
    groups = {group.title: group._group_actions for group in parser._action_groups if group._group_actions}
    assert len(groups) > 2
    for title, actions in groups.items():
        if title in UNTITLED:
            assert [action.dest for action in actions] == ["help"]
            continue
        assert title in done.stdout
        for action in actions:
            flag = action.option_strings[0]
            assert re.search(rf"^  {flag}\b", done.stdout, re.M), flag
            assert action.help, f"{flag} has no text"
            switch = action.nargs == 0  # which is off unless it is given
            assert switch or re.search(r"default|required", action.help), f"{flag}: '{action.help}' has no default"
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert not list(tmp_path.iterdir())
