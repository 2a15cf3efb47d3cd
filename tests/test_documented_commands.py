"""Every command line of README.md and of docs/ names a script that is there, and flags that it has."""

import re
import shlex
import subprocess
from collections import defaultdict

import pytest
from calls import call_script
from conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def scripts_and_flags():
    """{path of a script: {flag: a page that has it}} of all blocks of code."""
    found = defaultdict(dict)
    for page in PAGES:
        for block in re.findall(r"```\w*\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True) if re.search(r"(scripts|tools)/\S+\.(py|sh)\b", line) else []
                scripts = [n for n, word in enumerate(words) if re.fullmatch(r"(scripts|tools)/\S+\.(py|sh)", word)]
                for start, stop in zip(scripts, [*scripts[1:], len(words)]):
                    flags = (word.partition("=")[0] for word in words[start:stop] if word.startswith("--"))
                    found[words[start]].update({flag: page.relative_to(ROOT) for flag in flags})
    return found


COMMANDS = scripts_and_flags()
EXPORTERS = {f"tools/export/{name}.py" for name in ("i3d", "inception", "raft")}


def test_there_are_commands():
    assert len(COMMANDS) > 30
    assert sum(map(len, COMMANDS.values())) > 100


@pytest.mark.parametrize("script", sorted(COMMANDS))
def test_documented_commands_are_there_and_have_their_flags(script):
    assert (ROOT / script).is_file(), f"{script} is named on {set(COMMANDS[script].values())}"
    if script.endswith(".sh"):
        subprocess.run(["bash", "-n", str(ROOT / script)], check=True)
        return
    if script in EXPORTERS:
        pytest.importorskip("torchvision", reason="exporters need PyTorch, which is not installed")
    known = set(re.findall(r"--\w+(?:-\w+)*", call_script(script, "--help", cwd=ROOT).stdout)) | {"--help"}
    known |= {f"--{name[2:].replace('_', '-')}" for name in known}  # both spellings, where a family's users know them
    assert {flag: page for flag, page in COMMANDS[script].items() if flag not in known} == {}
