"""What compiled graphs consist of, against the table in docs/ascend.md.

The graphs are those that MindSpore hands to its back end. A CPU compiles them, in both forms of
mg/models/layers/by_device.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from types import SimpleNamespace

import pytest
from conftest import ROOT, random_clip
from kinds import KINDS
from mindspore.common.api import _cell_graph_executor
from mindspore.train.mind_ir_pb2 import ModelProto

from mg import runtime
from mg.config import write_recipe
from mg.models import families
from mg.models.lpips import network
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.tiling.tiles import Tiles
from mg.training.build import Parts
from mg.training.learn import Batch, Learner, Rates
from mg.training.recipe import Recipe

# Enough channels for the first convolutions to be joined, as they are in the full model.
SMALL = {"ch": 24, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 4, "norm_num_groups": 2}
UPSTREAM = {"norm_statistics": "clip", "downsample_padding": "both", "upsample_padding": "zeros"}
# What families are trained by that none of the steps of a TAE has.
STYLEGAN = {"disc_kind": "stylegan3d", "disc_channels": 8, "disc_loss": "non_saturating", "disc_weight": 0.1}
CODES = {"sample_entropy_weight": 0.3, "batch_entropy_weight": 0.3, "commitment_weight": 0.25, "lecam_of": "means"}
OWN = {
    "asymmetric_magvit2": {"disc_kind": "clip", "disc_weight": 0.5, "disc_channels": 8},
    "opensora_vae": {},
    "o2_magvit2": {**STYLEGAN, **CODES, "disc_weight_mode": "constant", "r1_weight": 10.0, "lecam_weight": 0.001},
}
CLIPS = {"o2_magvit2": (17, 32, 32)}  # of a step; StyleGAN's discriminators take none that are smaller
# One of every kind of trained layer, the first of all among them; 200 more updates only take time to compile.
FROZEN = ("decoder*", "encoder.levels*", "encoder.middle.block*", "encoder.middle.temporal*")
# What holds a graph together; the back end makes no kernel of it.
STRUCTURE = {"Constant", "Depend", "Load", "MakeTuple", "TupleGetItem", "UpdateState"}
# Listed, but not in the graphs of every MindSpore that we support.
SOME_VERSIONS = {"EqScalar"}
TYPES = {1: "fp32", 10: "c", 9: "bool"}  # fp16 stands for the compute type `c`: a CPU has no bf16


def graphs_of(cell):
    for phase in cell.compile_cache:
        yield ModelProto.FromString(_cell_graph_executor._get_func_graph_proto(cell, phase, "mind_ir"))


def tensors_in(attribute):
    yield from attribute.tensors
    for value in attribute.values:
        yield from tensors_in(value)


def name_of(node):
    return node.op_type.split(":")[2] if node.op_type.startswith("REF::") else node.op_type


def infer(dtype, *frames):
    """(where, network) of clips of so many frames and an odd size; None is an image."""
    tae = TemporalAutoencoder(SMALL, dtype=dtype)
    for count in frames:
        mean = tae.encode(random_clip(1, 3, *(() if count is None else (count,)), 17, 20), seed=0)[1]
        assert tae.decode(mean).shape[-2:] == (18, 20)
    assert tae.graphs == 2 * len(frames)
    return compiled(tae)


def infer_in_tiles(dtype):
    """(where, network) of tiles with shared statistics, in the form that upstream's weights need."""
    tae = TemporalAutoencoder({**SMALL, **UPSTREAM}, dtype=dtype)
    tae.use_tile, tae.tiles = True, Tiles(4, 0, 8, 4, 2, 16, 8, shared_statistics=True)
    tae.decode(tae.encode(random_clip(1, 3, 4, 17, 24), seed=0)[1])
    return compiled(tae)


def infer_family(kind, dtype, *frames):
    """(where, network) of clips of so many frames and an odd size, in windows of at most 5."""
    model = families.family_of(kind.family)(dict(kind.config), dtype=dtype, encode_tile=5, decode_tile=5)
    for count in frames:
        latents = [model.latents.decoded(raw) for raw in model.raw_stream([random_clip(1, 3, count, 17, 20)])]
        assert sum(clip.shape[2] for clip in model.clip_stream(latents, count)) == count
    return compiled(model)


def compiled(model):
    """(where, graph) of the networks."""
    graphs = {key: graph for key, graph in model._graphs.items() if graph.compile_cache}
    return [("E" if "encoder" in key else "D", graph) for key, graph in graphs.items()]


def train_family(folder, kind, dtype):
    """The same of a step of another family."""
    frames, height, width = clip = CLIPS.get(kind.family, (5, 32, 32))
    data = {"sample_n_frames": frames, "image_size": [height, width], "mixed_strategy": "video_only"}
    config = {name: list(value) if isinstance(value, tuple) else value for name, value in kind.config.items()}
    own = {"model": kind.family, "freeze": [], "perceptual_weight": 0.0, **data, **kind.recipe, **OWN[kind.family]}
    return train(folder, dtype, config, clip, **own)


def train(folder, dtype, config=SMALL, size=(5, 17, 20), **changes):
    """(where, graph) of a step, and of the discriminator's where there is one."""
    write_recipe(folder / "model.yaml", config)
    model = {"model_config": str(folder / "model.yaml"), "video_folder": "none", "dtype": dtype, "freeze": FROZEN}
    parts, micro_batches = Parts(Recipe.of({**model, **changes})), changes.get("gradient_accumulation_steps", 1)
    learner, clip = Learner(parts, micro_batches), random_clip(1, 3, *size)
    noises = tuple(random_clip(*shape) for shape in parts.forward.noise_shapes(clip.shape))
    learner.step(0, [Batch(clip, noises)] * micro_batches, Rates(1e-3, 1e-3))
    return [("T", cell) for cell in learner.cells if cell.compile_cache]


def read(cells):
    """Of each primitive in the graphs of `cells`: where it is, E D T, and the types of its results."""
    found = defaultdict(lambda: SimpleNamespace(where=set(), types=set()))
    for where, cell in cells:
        graphs = list(graphs_of(cell))
        assert graphs
        for model in graphs:
            assert not model.functions, f"{cell.cls_name} has sub-graphs, so something decides while it runs"
            for node in model.graph.node:
                results = [tensor for a in node.attribute if a.name == "shape" for tensor in tensors_in(a)]
                assert all(size > 0 for tensor in results for size in tensor.dims), f"{name_of(node)}: dynamic shape"
                found[name_of(node)].where.add(where)
                found[name_of(node)].types |= {TYPES[tensor.data_type] for tensor in results}
    return found


@pytest.fixture(scope="module")
def inference():
    """Encode and decode in the form for Ascend; of images in the slow layer, where all that is listed must be used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "on_cpu", lambda: False)
        return infer("fp16", 5) + infer_in_tiles("fp16")


@pytest.fixture(scope="module")
def ascend(inference, tmp_path_factory):
    """These, and training with all that a recipe can switch on."""
    folder = tmp_path_factory.mktemp("ascend")
    network.write(folder / "lpips.safetensors", network.Distance("vgg"), biases=True)
    adversarial = {"disc_weight": 0.5, "disc_kind": "clip", "disc_channels": 8, "lecam_weight": 0.1, "r1_weight": 1.0}
    terms = {"lpips_weights": str(folder / "lpips.safetensors"), "use_outlier_penalty_loss": True, **adversarial}
    plain = {"perceptual_weight": 0.0, "squared_error_weight": [1.0, 0.5, 9], "optimizer": "muon"}
    extras = {"ema_decay": 0.5, "gradient_accumulation_steps": 2, "recompute": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "on_cpu", lambda: False)
        steps = train(folder, "fp16", **terms, **extras) + train(folder, "fp16", **plain)
        for kind in (kind for kind in KINDS if kind.family in OWN):
            steps += infer_family(kind, "fp16", 1, 9) + train_family(folder, kind, "fp16")
        return read(inference + infer("fp16", None) + steps)


@pytest.fixture(scope="module")
def cpu(tmp_path_factory):
    """Inference and a step of L1 and KL, compiled as a CPU runs them."""
    step = train(tmp_path_factory.mktemp("cpu"), "fp32", perceptual_weight=0.0, ema_decay=0.5)
    return read(infer("fp32", 5) + step)


def listed():
    """{primitive: (where, types of results)} of the table's rows."""
    text = (ROOT / "docs" / "ascend.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([EDT ]+) \| ([\w, ]+) \|", text, re.M)
    return {name: (set(where.split()), set(types.split(", "))) for name, where, types in rows}


def test_every_primitive_of_encode_and_decode_is_listed(inference):
    assert set(read(inference)) - STRUCTURE - set(listed()) == set(), "not in the table of docs/ascend.md"


@pytest.mark.slow
def test_every_primitive_of_the_ascend_form_is_listed_and_every_listed_one_is_used(ascend):
    table, used = listed(), set(ascend) - STRUCTURE
    assert used - set(table) == set(), "not in the table of docs/ascend.md: find out what Ascend makes of them"
    assert set(table) - used - SOME_VERSIONS == set(), "in the table of docs/ascend.md, but no graph uses them"


@pytest.mark.slow
def test_the_table_says_where_primitives_are_used_and_in_which_types(ascend):
    found = {name: (ascend[name].where, ascend[name].types) for name in set(ascend) - STRUCTURE}
    table = {name: row for name, row in listed().items() if name in found}
    assert found == table


@pytest.mark.slow
def test_the_cpu_form_needs_one_primitive_that_the_ascend_form_has_not(cpu, ascend):
    assert set(cpu) - set(ascend) == {"BatchNorm"}
