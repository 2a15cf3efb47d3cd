"""The repository around the code: needs, README, style."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata

import pytest
from conftest import ROOT

from mg import runtime


def needs(lines):
    """Names and ranges, without comments, spaces and quotes."""
    return {re.sub(r"[\s\"']", "", line) for line in lines if line.strip() and not line.startswith(("#", "-e"))}


def test_requirements_and_pyproject_agree_and_the_package_comes_last():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert lines[-1] == "-e ."
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.M | re.S).group(1)
    assert needs(lines) == {need.rstrip(",") for need in needs(listed.splitlines())}


@pytest.mark.parametrize("version, expected", [("2.8.0", None), ("2.9.0", "AVX2"), ("2.10.0", "AVX2")])
def test_a_cpu_user_is_kept_from_the_slow_convolution(monkeypatch, version, expected):
    monkeypatch.setattr(metadata, "version", lambda name: version)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    runtime.prepare_cpu()
    assert os.environ.get("ONEDNN_MAX_CPU_ISA") == expected
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
    runtime.prepare_cpu()
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX512_CORE"


UNCHANGED = """
import logging, os, sys, warnings
def state():
    handlers = [(name, logging.getLogger(name).handlers[:], logging.getLogger(name).level) for name in (None, "mg")]
    return dict(os.environ), handlers, logging.root.manager.disable, warnings.filters[:], os.getcwd(), sys.path[:]
before = state()
import mg
assert state() == before
assert callable(mg.load) and callable(mg.from_default)
heavy = {"mindspore", "numpy", "decord", "cv2", "av", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_the_package_changes_nothing_and_loads_nothing():
    done = subprocess.run([sys.executable, "-c", UNCHANGED], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_file_the_readme_names_exists():
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"\b(?:mg|docs|scripts|tools|tests|configs)/[\w./-]*\w", readme))
    assert named
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


MOST_PARAMETERS = 7


def parameters(function):
    """Names of a function's parameters, without the object that a method is called on."""
    spec = function.args
    listed = (*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg)
    return [one.arg for one in listed if one is not None and one.arg not in ("self", "cls")]


def test_no_parameter_list_is_long():
    functions = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("mg", "scripts", "tools")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, functions) and len(parameters(node)) > MOST_PARAMETERS
    ]
    assert long == []


@pytest.mark.parametrize("command", [("check", "."), ("format", "--check", ".")])
def test_style(command):
    ruff = shutil.which("ruff", path=os.path.dirname(sys.executable)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    done = subprocess.run([ruff, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
