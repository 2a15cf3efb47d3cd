"""Who may import whom, and which file may name what."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

from mg.models import families

# Without those that tests register.
FAMILIES = {name: kind for name, kind in families.FAMILIES.items() if kind.__module__.startswith("mg.")}
# Rooms from top to bottom. Imports only go down; rooms of one line do not know each other.
ROOMS = (
    ("scripts", "tools"),
    ("commands",),
    ("mg",),  # the package's own few names
    ("demo",),
    ("inference",),
    ("training",),
    ("evaluation",),
    ("losses", "metrics", "data"),
    ("models", "io"),
    ("cli", "ranks"),
    ("distributed", "runtime", "config", "rows"),
    ("locks",),
    ("files", "checks", "progress", "slices"),
    ("errors",),
)
HEIGHT = {room: height for height, line in enumerate(reversed(ROOMS)) for room in line}
# A family that is made of another's parts, or starts from its weights.
MADE_OF = {"tae": {"image_vae"}, "opensora_vae": {"image_vae"}}
# What shared parts of mg/models know of mg/models.
SHARED_PARTS = {"layers": {"layers"}, "tiling": {"tiling"}, "lpips": {"lpips", "layers", "weights", "torch_file"}}
# Modules that a room does not know though it stands above them, and packages that it does without.
UNKNOWN = {
    "models": ("av", "cv2", "PIL", "decord"),
    "io": ("mindspore",),
    "metrics": ("mg.io.image", "mg.io.latents", "mg.io.clip", "mg.io.pictures", "mg.io.video"),  # pixels may be
}
# What these rooms know of mg/models: no model, only what says nothing of families.
KNOWN_MODELS = {
    "losses": {"layers", "lpips", "terms", "autoencoder"},
    "metrics": {"lpips", "weights"},
    "data": {"latents"},
}
# For annotations alone.
ONLY_TYPES = {("mg/losses/objective.py", "mg.models.autoencoder"), ("mg/models/autoencoder.py", "mg.models.terms")}
# Where an 8 or a 16 is something else than what a family compresses or how many channels it has: how many, and what.
NUMBERS = {
    "mg/demo/explain.py": (1, "pictures of channels at most"),
    "mg/demo/calls.py": (1, "bytes of a name that nobody can guess"),
    "mg/demo/one_thread.py": (1, "visitors in a queue"),
    "mg/demo/pictures.py": (1, "columns of a picture"),
    "mg/evaluation/curves.py": (2, "size of text"),
    "mg/evaluation/round_trip.py": (2, "images at once; bytes of a hash"),
    "mg/files.py": (1, "digits of a hash"),
    "mg/io/frames.py": (1, "smallest side of a frame"),
    "mg/io/by_number.py": (1, "frames that are compared at once"),
    "mg/io/cropping.py": (12, "bytes of boxes"),
    "mg/io/decord_process.py": (1, "bytes of a number"),
    "mg/io/ebml.py": (1, "bytes of a length"),
    "mg/io/structure.py": (1, "a kind of FLV's tags"),
    "mg/io/mpeg.py": (2, "counters of MPEG-TS"),
    "mg/io/image.py": (5, "bits of a level; an orientation; bytes of a PNG"),
    "mg/io/index.py": (1, "bits of a byte"),
    "mg/io/latents.py": (4, "bits of integers and of a byte; bytes of a length"),
    "mg/io/pictures.py": (1, "pixels of a margin"),
    "mg/io/plots.py": (1, "size of text"),
    "mg/io/reader.py": (8, "bytes of boxes"),
    "mg/io/shown.py": (2, "numbers of colour spaces"),
    "mg/io/video.py": (1, "quality of a written file"),
    "mg/metrics/features.py": (1, "images at once"),
    "mg/metrics/fvd.py": (1, "frames that I3D takes"),
    "mg/models/autoencoder.py": (1, "smallest side of a frame, unless a family has another"),
    "mg/models/discriminators.py": (1, "groups of norms"),
    "mg/models/inputs.py": (1, "bytes of a number"),
    "mg/models/lpips/vgg.py": (1, "smallest side of an image"),
    "mg/models/session.py": (1, "frames whose pixels make a chunk"),
    "mg/models/tiling/plan.py": (2, "blocks of a sample; the share of a blend's margin"),
    "mg/models/tiling/tiles.py": (2, "defaults of tiles, unless a family has others"),
    "mg/models/torch_file.py": (2, "bytes of a number; bits of bfloat16"),
    "mg/training/config.py": (1, "steps between two with R1"),
    "mg/training/log.py": (2, "size of text"),
}
SOURCES = sorted(path for folder in ("mg", "scripts", "tools") for path in (ROOT / folder).rglob("*.py"))
LIBRARY = [path for path in SOURCES if ROOT / "mg" in path.parents]
OUTSIDE = [
    path
    for path in LIBRARY
    if path != ROOT / "mg/models/families.py"
    and not any(ROOT / "mg/models" / name in path.parents for name in FAMILIES)
]


@cache
def nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules, and what is taken from them, as mg.models.weights or mg.models.weights.write; also inside functions."""
    names = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)} has a relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def modules(path: Path) -> Iterator[str]:
    """The modules of mg that a file imports."""
    for name in imports(path):
        place = ROOT / name.replace(".", "/")
        if name.startswith("mg.") and (place.is_dir() or place.with_suffix(".py").is_file()):
            yield name


def room_of(module: str) -> str:
    """Where a module belongs: mg.io.video to io, mg.cli to cli."""
    first, *rest = module.split(".")
    return rest[0] if first == "mg" and rest else first


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of_models(module: str) -> str | None:
    """layers of mg.models.layers.conv, weights of mg.models.weights; None of a module elsewhere."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["mg", "models"] and len(parts) > 2 else None


def parts_of_models(path: Path) -> set[str]:
    """What a file knows of mg/models, but for annotations."""
    known = [module for module in modules(path) if (short(path), module) not in ONLY_TYPES]
    return {part for part in map(part_of_models, known) if part}


def calls(path: Path) -> set[str]:
    """Dotted names that the file uses, such as ops.Conv2D."""
    attributes = (node for node in nodes(path) if isinstance(node, ast.Attribute))
    return {f"{node.value.id}.{node.attr}" for node in attributes if isinstance(node.value, ast.Name)}


def test_every_room_has_its_place():
    assert {room_of(module_of(path)) for path in SOURCES} == set(HEIGHT)


def test_imports_only_go_down():
    wrong = []
    for path in SOURCES:
        own = room_of(module_of(path))
        for module in modules(path):
            room = room_of(module)
            if room != own and HEIGHT[room] >= HEIGHT[own]:
                wrong.append(f"{short(path)} imports {module}")
    assert wrong == []


@pytest.mark.parametrize("room", UNKNOWN)
def test_rooms_do_without(room):
    for path in (ROOT / "mg" / room).rglob("*.py"):
        wrong = {n for n in imports(path) for bad in UNKNOWN[room] if n == bad or n.startswith(bad + ".")}
        assert not wrong, f"{short(path)} imports {wrong}"


@pytest.mark.parametrize("room", KNOWN_MODELS)
def test_losses_metrics_and_data_know_no_model(room):
    for path in (ROOT / "mg" / room).rglob("*.py"):
        assert parts_of_models(path) <= KNOWN_MODELS[room] - {"autoencoder"}, short(path)


@pytest.mark.parametrize("part", SHARED_PARTS)
def test_shared_parts_of_models_know_little_of_each_other(part):
    for path in (ROOT / "mg/models" / part).rglob("*.py"):
        assert parts_of_models(path) <= SHARED_PARTS[part], short(path)


def test_what_is_for_annotations_is_imported_for_nothing_else():
    for file, module in ONLY_TYPES:
        tree = ast.parse((ROOT / file).read_text())
        guarded = [
            node
            for block in tree.body
            if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
            for node in block.body
        ]
        everywhere = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == module]
        assert everywhere and all(node in guarded for node in everywhere), f"{file} imports {module}"


def test_a_family_is_one_folder():
    for name, family in FAMILIES.items():
        assert family.family == name and family.__module__.startswith(f"mg.models.{name}.")


def test_nothing_imports_a_family_but_families_itself_and_tools():
    for path in SOURCES:
        own = part_of_models(module_of(path))
        if path == ROOT / "mg/models/families.py" or ROOT / "tools" in path.parents:
            continue
        known = parts_of_models(path) & set(FAMILIES)
        assert known <= MADE_OF.get(own, set()) | {own}, f"{short(path)} imports {known}"


def test_no_file_outside_contains_the_name_of_a_family():
    """In code, texts and comments."""
    names = {name for family, kind in FAMILIES.items() for name in (family, kind.__name__)}
    names |= {name.replace("_", gap) for name in FAMILIES for gap in (" ", "-", "")} | {"temporal autoencoder"}
    word = re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, sorted(names)))})(?![a-z0-9])", re.IGNORECASE)
    found = {short(path): set(word.findall(path.read_text())) for path in OUTSIDE}
    assert {path: names for path, names in found.items() if names} == {}


def test_no_file_outside_knows_what_a_family_compresses_or_its_channels():
    used = Counter(
        short(path)
        for path in OUTSIDE
        for node in nodes(path)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value in (8, 16)
    )
    allowed = {file: count for file, (count, _) in NUMBERS.items()}
    assert used == allowed, "8 and 16 are a family's; ask it, or say in NUMBERS what else they are"


def texts_in(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def questions(path: Path) -> set[str]:
    """What a file does that depends on a kind of latents: asks for its class, names it, compares with it."""
    found = texts_in(ast.parse(path.read_text())) & {"posterior", "codes"}
    for node in nodes(path):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
            classes = {getattr(part, "id", getattr(part, "attr", "")) for part in ast.walk(node.args[1])}
            found |= classes & {"Gaussian", "Codes", "Tokenizer"}
        elif isinstance(node, ast.Compare) and "kind" in ast.unparse(node):
            found |= texts_in(node) & {"sample"}
    return found


def test_no_file_outside_asks_what_kind_of_latents_a_model_has():
    """Kinds answer for themselves: what is decoded, stored, restored and drawn."""
    own = ROOT / "mg/models/latents.py", ROOT / "mg/io/latents.py"
    found = {short(path): questions(path) for path in OUTSIDE if path not in own}
    assert {path: asked for path, asked in found.items() if asked} == {}


def test_two_files_name_convolutions_and_a_tool_counts_them():
    layers = ROOT / "mg/models/layers"
    allowed = layers / "conv.py", layers / "causal.py", ROOT / "tools/benchmark/counting.py"
    for path in SOURCES:
        names = [name for name in calls(path) if "conv" in name.lower() and name.split(".")[0] in ("ops", "nn", "mint")]
        assert path in allowed or not names, f"{short(path)}: {names}"


def test_two_files_import_gradio():
    users = [path for path in SOURCES if any(name.split(".")[0] == "gradio" for name in imports(path))]
    assert users == [ROOT / "mg/demo/page.py", ROOT / "mg/demo/parts.py"]


def test_one_file_knows_the_half_range_and_one_transposes_five_axes():
    for path in SOURCES:
        assert ("127.5" in path.read_text()) == (path == ROOT / "mg/io/pixels.py"), path
        if path.parts[-2] in ("layers", *FAMILIES) and path.name != "folds.py":
            five = [node for node in nodes(path) if isinstance(node, ast.Call) and len(node.args) == 5]
            assert not [call for call in five if getattr(call.func, "attr", "") == "transpose"], path


def test_the_library_does_not_print():
    for path in LIBRARY:
        names = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
        assert not [name for name in names if getattr(name, "id", "") == "print"], path
