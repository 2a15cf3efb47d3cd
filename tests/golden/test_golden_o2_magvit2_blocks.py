"""Single blocks of the tokenizer against arrays that the original's classes computed, with their own weights."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from mg.models import weights
from mg.models.layers.folds import channels_first, frames_first
from mg.models.layers.norm import GroupNorm
from mg.models.o2_magvit2.blocks import AdaptiveNorm, Block, CausalStep, FrameStep, Upsample
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.convert import reshaped
from mg.models.o2_magvit2.names import to_ours

pytestmark = pytest.mark.usefixtures("uncompiled")
VIDEO = O2Magvit2Config(filters=32, channel_multipliers=(1, 2), temporal_downsample=(True,), token_size=10)
IMAGE = O2Magvit2Config(
    filters=32, channel_multipliers=(1, 2), temporal_downsample=(False,), token_size=10, image_model=True
)


class Golden:
    """The arrays of one block."""

    def __init__(self, arrays, name):
        self.arrays = {key[len(name) + 1 :]: arrays[key] for key in arrays.files if key.startswith(f"{name}.")}

    def into(self, cell):
        """The cell with the block's weights, strictly."""
        own = {f".{key[2:]}": value for key, value in self.arrays.items() if key.startswith("w.")}
        named = {ours.lstrip("."): reshaped(ours, own[theirs]) for ours, theirs in to_ours(own).items()}
        weights.assign(cell, list(weights.named_parameters(cell)), named, "blocks.npz")
        return cell

    def check(self, function, x="x", y="y", tolerance=2e-5):
        got, expected = function(clip(self.arrays[x])).asnumpy(), self.arrays[y]
        got = got[:, :, 0] if expected.ndim == 4 else got
        assert np.abs(got - expected).max() < tolerance


def clip(array):
    """As our cells take it."""
    return frames_first(Tensor(array if array.ndim == 5 else array[:, :, None]))


@pytest.fixture
def golden(shared):
    arrays = np.load(shared / "golden/o2_magvit2_mini/blocks.npz")
    return lambda name: Golden(arrays, name)


@pytest.mark.parametrize(
    "name, options",
    [
        ("conv3d_s1", {}),
        ("conv3d_s1_nobias_t1", {"bias": False}),
        ("conv3d_s122", {"stride": (1, 2)}),
        ("conv3d_s222_t5", {"stride": (2, 2)}),
        ("conv3d_s222_t1", {"stride": (2, 2)}),
    ],
)
def test_causal_convolutions(golden, name, options):
    block = golden(name)
    conv = CausalStep(6, 10, **options)
    names = {"weight": "w.conv.weight", "bias": "w.conv.bias"}
    parameters = weights.named_parameters(conv)
    weights.assign(conv, list(parameters), {key: block.arrays[names[key]] for key in parameters}, name)
    block.check(lambda x: channels_first(conv(x, ())[0]))


def test_the_norm_of_frames(golden):
    block = golden("groupnorm_per_frame")
    norm = GroupNorm(32, 64, eps=1e-5)
    stored = {"weight": block.arrays["w.norm_fn.weight"], "bias": block.arrays["w.norm_fn.bias"]}
    weights.assign(norm, list(stored), stored, "blocks.npz")
    block.check(lambda x: channels_first(norm(x)))
    block.check(lambda x: channels_first(norm(x)), "x_small", "y_small")


def test_the_adaptive_norm(golden):
    block = golden("adaptive_groupnorm")
    norm, code = block.into(AdaptiveNorm(64, VIDEO)), clip(block.arrays["x1"])
    block.check(lambda x: channels_first(norm(x, code)))
    block.check(lambda x: channels_first(norm(x, code)), "x_small", "y_small")


@pytest.mark.parametrize("name, config", [("resblock", VIDEO), ("resblock2d", IMAGE)])
def test_residual_blocks(golden, name, config):
    block = golden(name)
    cell = block.into(Block(32, 64, config))
    block.check(lambda x: channels_first(cell(x, ())[0]))
    block.check(lambda x: channels_first(cell(x, ())[0]), "x_small", "y_small")


@pytest.mark.parametrize(
    "name, over_time, config", [("upsample3d_t2", 2, VIDEO), ("upsample3d_t1", 1, VIDEO), ("upsample2d", 1, IMAGE)]
)
def test_depth_to_space_behind_its_convolution(golden, name, over_time, config):
    block = golden(name)
    cell = Upsample(6, over_time, config)
    inner = "w.conv1.conv." if config is VIDEO else "w.conv1."
    stored = {f"conv.{part}": block.arrays[inner + part] for part in ("weight", "bias")}
    weights.assign(cell, list(stored), stored, "blocks.npz")
    x = clip(block.arrays["x"])
    before = () if isinstance(cell.conv, FrameStep) else (x[:, :2] * 0,)  # not the beginning of a clip: all frames stay
    block.check(lambda x: channels_first(cell(x, before)[0]))
