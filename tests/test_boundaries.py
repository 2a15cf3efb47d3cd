"""Who may import whom, and which file may name what."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

# Each room and what it must not import. Lower rooms never know higher ones.
FORBIDDEN = {
    "models": (
        *("mg.losses", "mg.io", "mg.data", "mg.metrics", "mg.inference", "mg.training", "mg.demo"),
        *("av", "cv2", "PIL", "decord"),
    ),
    "io": ("mg.models", "mg.data", "mg.metrics", "mg.inference", "mg.training", "mg.demo", "mindspore"),
    "data": ("mg.models", "mg.metrics", "mg.inference", "mg.training", "mg.demo"),
    "losses": ("mg.io", "mg.data", "mg.metrics", "mg.inference", "mg.training", "mg.demo"),
    "metrics": (
        *("mg.models", "mg.inference", "mg.data", "mg.training", "mg.demo"),
        *("mg.io.image", "mg.io.latents", "mg.io.media", "mg.io.pictures", "mg.io.video"),  # pixels may be
    ),
    "training": ("mg.inference", "mg.demo"),
    "inference": ("mg.demo",),
}
SOURCES = sorted(path for folder in ("mg", "scripts", "tools") for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def calls(path: Path) -> set[str]:
    """Dotted names that the file uses, such as ops.Conv2D."""
    attributes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute))
    return {f"{node.value.id}.{node.attr}" for node in attributes if isinstance(node.value, ast.Name)}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_rooms_do_not_import_what_stands_above_them(room):
    for path in (ROOT / "mg" / room).rglob("*.py"):
        wrong = {n for n in imports(path) for bad in FORBIDDEN[room] if n == bad or n.startswith(bad + ".")}
        assert not wrong, f"{path} imports {wrong}"


def test_the_family_independent_layers_know_no_family():
    for path in (ROOT / "mg" / "models").glob("layers/*.py"):
        assert not any("models.tae" in name for name in imports(path)), path


def test_losses_know_no_model():
    for path in (ROOT / "mg" / "losses").rglob("*.py"):
        known = {name for name in imports(path) if name.startswith("mg.models.")}
        assert not {name for name in known if not name.startswith(("mg.models.layers", "mg.models.weights"))}, path


def test_one_file_names_convolutions():
    for path in SOURCES:
        if path != ROOT / "mg/models/layers/conv.py":
            assert not {
                name for name in calls(path) if "conv" in name.lower() and name.split(".")[0] in ("ops", "nn", "mint")
            }


def test_one_file_imports_gradio():
    users = [path for path in SOURCES if any(name.split(".")[0] == "gradio" for name in imports(path))]
    assert users == [ROOT / "mg/demo/page.py"]


def test_one_file_knows_the_half_range_and_one_transposes_five_axes():
    for path in SOURCES:
        text = path.read_text()
        assert ("127.5" in text) == (path == ROOT / "mg/io/pixels.py"), path
        if path.parts[-2] in ("layers", "tae") and path.name != "folds.py":
            five = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and len(node.args) == 5]
            assert not [call for call in five if getattr(call.func, "attr", "") == "transpose"], path


def test_the_library_does_not_print():
    for path in (ROOT / "mg").rglob("*.py"):
        names = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        assert not [name for name in names if getattr(name, "id", "") == "print"], path
