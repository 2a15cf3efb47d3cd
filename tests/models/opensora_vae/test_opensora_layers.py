"""Single blocks against those of Open-Sora's program, and what it says of files that it cannot read."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor

from mg.errors import InputError
from mg.models import families, weights
from mg.models.layers.causal import CausalConv
from mg.models.layers.folds import channels_first, frames_first
from mg.models.opensora_vae.blocks import ResidualBlock, TemporalDownsample, TemporalUpsample
from mg.models.opensora_vae.config import OpenSoraVAEConfig
from mg.models.opensora_vae.convert import start
from mg.models.opensora_vae.read import _time_slowest, open_foreign

pytestmark = pytest.mark.usefixtures("uncompiled")

CELLS = {
    "conv_s1": lambda: CausalConv(4, 10),
    "conv_s1_t1": lambda: CausalConv(4, 10),
    "conv_s211_t8": lambda: CausalConv(6, 10, stride=(2, 1), front=1),
    "conv_s211_t2": lambda: CausalConv(6, 10, stride=(2, 1), front=1),
    "conv_k1": lambda: CausalConv(8, 8, kernel=1),
    "resblock": lambda: ResidualBlock(32, 64, 32),
    "upsample": lambda: TemporalUpsample(16),
}


def fill(cell, name, stored):
    """Take a golden block's weights under the names that they have here."""
    for parameter_name, parameter in cell.parameters_and_names():
        theirs = parameter_name.replace("shortcut", "conv3")
        for found in (
            f"{name}.w.{theirs}",
            f"{name}.w.{theirs.replace('weight', 'conv.weight')}",
            f"{name}.w.conv.bias",
        ):
            if found in stored:
                break
        tensor = stored[found]
        parameter.set_data(Tensor(_time_slowest(tensor) if name == "upsample" else tensor))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_block_gives_what_its_original_gives(shared, name, training):
    stored = np.load(shared / "golden/opensora_vae_mini/blocks.npz")
    cell = CELLS[name]()
    fill(cell, name, stored)
    cell.set_train(training)
    for given, expected in (("x", "y"), ("x_small", "y_small")):
        if f"{name}.{given}" in stored:
            result = channels_first(cell(frames_first(Tensor(stored[f"{name}.{given}"]))))
            np.testing.assert_allclose(result.asnumpy(), stored[f"{name}.{expected}"], atol=2e-5)


def test_time_is_halved_with_one_frame_of_zeros_in_front():
    cell = TemporalDownsample(4)
    assert (cell.front, cell.stride) == (1, 2)
    assert cell(Tensor(np.ones((1, 6, 4, 5, 5), np.float32))).shape == (1, 3, 4, 5, 5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"halved_levels": (1, 3)}, "below 3"),
        ({"halved_levels": (2, 1)}, "rising"),
        ({"temporal_groups": 48}, "does not divide 128"),
        ({"spatial_groups": 48}, "norm_num_groups=48"),
        ({"scaling_factor": (1.0, 2.0)}, "z_channels=4"),
        ({"scaling_factor": 0.0}, "must not be zero"),
    ],
)
def test_wrong_sizes_are_one_line(changes, words):
    with pytest.raises(InputError, match=words) as error:
        OpenSoraVAEConfig(**changes)
    assert "\n" not in str(error.value)


def test_a_fresh_temporal_vae_over_a_trained_image_vae(shared, tmp_path):
    sizes = {"temporal_channels": 8, "temporal_multiples": [1, 1, 1], "temporal_blocks": 1, "temporal_groups": 8}
    sizes.update(halved_levels=[0, 1], spatial_factor=0.6)
    model = start(shared / "weights/vae2d_tiny", sizes)
    image = families.load(shared / "weights/vae2d_tiny")
    assert model.config["z_channels"] == model.config["spatial_latent"] == 16
    own = weights.named_parameters(model.image_model())
    for name, parameter in weights.named_parameters(image).items():
        np.testing.assert_array_equal(own[name].asnumpy(), parameter.asnumpy())
    with pytest.raises(InputError, match="spatial_latent=4, but"):
        start(shared / "weights/vae2d_tiny", {"spatial_latent": 4})


def test_files_of_other_models_are_refused(shared, tmp_path):
    file = weights.TensorFile(shared / "golden/opensora_vae_mini/weights.safetensors")
    tensors = {name: file[name] for name in file}

    def opened(tensors, **options):
        weights.save_file(tensors, str(tmp_path / "a.safetensors"))
        return open_foreign(tmp_path / "a.safetensors", **options)

    temporal = {name: tensor for name, tensor in tensors.items() if name.startswith("temporal_vae.")}
    for given, options, words in (
        ({**tensors, "foreign.weight": tensors["scale"]}, {}, "neither part"),
        ({name: tensor for name, tensor in tensors.items() if name != "shift"}, {}, "no tensor shift, but scale"),
        ({**tensors, "scale": 0 * tensors["scale"]}, {}, "cannot be divided"),
        (temporal, {}, "give --spatial"),
        (tensors, {"spatial": shared / "weights/vae2d_tiny"}, "leave --spatial out"),
        ({"a": tensors["scale"]}, {}, "no temporal VAE"),
    ):
        with pytest.raises(InputError, match=words):
            opened(given, **options)
    missing = {name: tensor for name, tensor in tensors.items() if "quant_conv.conv.bias" not in name}
    weights.save_file(missing, str(tmp_path / "cut.safetensors"))
    with pytest.raises(InputError, match="2 missing"):
        families.load(tmp_path / "cut.safetensors")
