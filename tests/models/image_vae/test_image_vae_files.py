"""Image VAEs of other programs: whose names they have, what config.json says, and what is refused."""

import json

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error
from safetensors.numpy import save_file
from torch_writer import laid, write_archive
from written_by_others import tensors_of, write_folder

from mg.errors import InputError
from mg.files import sha256
from mg.models import families, weights
from mg.models.image_vae.model import ImageVAE
from mg.models.image_vae.names import dialect_of
from mg.models.image_vae.read import open_foreign
from mg.models.image_vae.stored import Sizes, factors_of, require_same_sizes
from mg.models.names import find_file
from mg.models.tae.inflate import inflate
from mg.models.tae.tae import TemporalAutoencoder

SIZES = {"block_out_channels": (8, 12), "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 4}
QUANT = {"use_quant_conv": True, "use_post_quant_conv": True}


@pytest.fixture(scope="module")
def vae():
    """A fresh image VAE of two levels with quant convolutions."""
    return ImageVAE({**SIZES, **QUANT, "scaling_factor": 0.18215, "shift_factor": 0.0})


def load(folder):
    """Loaded by what the file says of itself, as every command does it."""
    model = families.load(folder)
    assert isinstance(model, ImageVAE)
    return model


def assert_equal(model, expected):
    own = {p.name: p.asnumpy() for p in model.get_parameters()}
    assert own.keys() == {p.name for p in expected.get_parameters()}
    for p in expected.get_parameters():
        np.testing.assert_array_equal(own[p.name], p.asnumpy())


@pytest.mark.parametrize("dialect", ["diffusers", "old diffusers", "ldm"])
def test_every_spelling_gives_the_same_model(vae, tmp_path, dialect):
    folder = write_folder(tmp_path, tensors_of(vae, dialect), {"norm_num_groups": 4})
    model = load(folder)
    assert_equal(model, vae)
    assert model.config == vae.config


def test_a_single_file_is_read_under_its_prefix_and_what_training_left_is_ignored(vae, tmp_path):
    tensors = {f"first_stage_model.{name}": value for name, value in tensors_of(vae, "ldm").items()}
    tensors["first_stage_model.loss.logvar"] = tensors["model.diffusion_model.x.weight"] = np.zeros(1, np.float32)
    assert ImageVAE.reads(tensors)
    model = load(write_folder(tmp_path, tensors, {"norm_num_groups": 4}))
    assert_equal(model, vae)


def test_without_quant_convolutions_there_are_none(tmp_path):
    vae = ImageVAE(SIZES)
    model = load(write_folder(tmp_path, tensors_of(vae, "diffusers"), {"norm_num_groups": 4}))
    assert not model.config["use_quant_conv"] and not model.config["use_post_quant_conv"]
    assert not [p.name for p in model.get_parameters() if "quant" in p.name]


def test_a_folder_is_its_only_file_or_the_one_that_diffusers_writes(tmp_path):
    with pytest.raises(InputError, match="holds no weights"):
        find_file(tmp_path)
    save_file({"x": np.zeros(1)}, str(tmp_path / "a.safetensors"))
    assert find_file(tmp_path) == tmp_path / "a.safetensors"
    save_file({"x": np.zeros(1)}, str(tmp_path / "b.safetensors"))
    with pytest.raises(InputError, match="holds 2"):
        find_file(tmp_path)
    save_file({"x": np.zeros(1)}, str(tmp_path / "diffusion_pytorch_model.safetensors"))
    assert find_file(tmp_path).name == "diffusion_pytorch_model.safetensors"
    assert find_file(tmp_path / "c.safetensors") == tmp_path / "c.safetensors"


def test_a_folder_may_hold_a_variant_or_be_a_pipeline(tmp_path):
    path = tmp_path / "vae" / "diffusion_pytorch_model.fp16.safetensors"
    path.parent.mkdir()
    save_file({"x": np.zeros(1)}, str(path))
    save_file({"x": np.zeros(1)}, str(path.with_name("other.safetensors")))
    assert find_file(tmp_path) == find_file(tmp_path / "vae") == path
    save_file({"x": np.zeros(1)}, str(path.with_name("diffusion_pytorch_model.bf16.safetensors")))
    with pytest.raises(InputError, match=r"2 weights files .*bf16.*fp16"):
        find_file(tmp_path)


def test_shards_are_one_file_and_are_named_by_all_of_their_bytes(vae, tmp_path):
    tensors = tensors_of(vae, "diffusers")
    folder = write_folder(tmp_path, tensors, {"norm_num_groups": 4})
    for file in folder.glob("*.safetensors"):
        file.unlink()
    names, places = sorted(tensors), {}
    for number, part in enumerate((names[:9], names[9:]), 1):
        file = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, str(folder / file))
        places.update(dict.fromkeys(part, file))
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert_equal(load(folder), vae)
    before = sha256(index)
    shard = folder / places[names[-1]]
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert sha256(index) != before
    shard.unlink()
    with pytest.raises(InputError, match=r"00002-of-00002.*not beside it"):
        load(folder)
    index.write_text("[]")
    with pytest.raises(InputError, match="is no list of the files"):
        sha256(index)


@pytest.mark.parametrize("nested", [False, True])
def test_files_of_torch_are_read_whatever_they_are_called(vae, tmp_path, nested):
    tensors = {name: laid(np.ascontiguousarray(value)) for name, value in tensors_of(vae, "diffusers").items()}
    folder = write_folder(tmp_path, tensors_of(vae, "diffusers"), {"norm_num_groups": 4})
    for file in folder.glob("*.safetensors"):
        file.unlink()
    state = {"epoch": 3, "state_dict": tensors} if nested else tensors
    path = folder / "diffusion_pytorch_model.bin"
    write_archive(path, state)
    assert_equal(load(folder), vae)
    assert_equal(load(path.rename(folder / "vae.ckpt")), vae)


SD15, SD35 = (0.18215, 0.0), (1.5305, 0.0609)


@pytest.mark.parametrize(
    "stored, default, expected",
    [
        ({}, SD15, SD15),
        ({}, SD35, SD35),
        ({"scaling_factor": 0.5, "shift_factor": None}, SD35, (0.5, 0)),
        ({"scaling_factor": 0.13025}, SD35, (0.13025, 0)),
        ({"shift_factor": None}, SD35, (1.5305, 0)),
        ({"scaling_factor": None, "shift_factor": 0.25}, SD35, (1.5305, 0.25)),
        ({"latents_mean": None, "latents_std": None, "scaling_factor": 2.0}, SD35, (2.0, 0)),
        (
            {"latents_mean": [[[[1.0]], [[-1.0]]]], "latents_std": [[[[2.0]], [[4.0]]]], "scaling_factor": 0.5},
            SD15,
            ((0.25, 0.125), (1.0, -1.0)),
        ),
    ],
)
def test_factors_are_those_of_config_json_or_the_default(stored, default, expected):
    assert factors_of(stored, default) == expected


@pytest.mark.parametrize("channels, factors", [(4, SD15), (16, SD35), (3, (1.0, 0.0))])
def test_without_config_json_the_factors_are_those_of_the_published_model(tmp_path, channels, factors):
    vae = ImageVAE({**SIZES, "block_out_channels": (32, 32), "norm_num_groups": 32, "latent_channels": channels})
    config = load(write_folder(tmp_path, tensors_of(vae, "diffusers"))).config
    assert (config["scaling_factor"], config["shift_factor"]) == factors
    assert config["norm_num_groups"] == 32


def test_factors_a_channel_are_taken_from_latents_mean_and_std(vae, tmp_path):
    stored = {"norm_num_groups": 4, "scaling_factor": 0.5, "latents_mean": [1, 2, 3, 4], "latents_std": [1, 2, 1, 2]}
    model = load(write_folder(tmp_path, tensors_of(vae, "diffusers"), stored))
    z = np.zeros((1, 4, 1, 2, 2), np.float32)
    assert model.scale(z)[0, :, 0, 0, 0].tolist() == [-0.5, -0.5, -1.5, -1]
    np.testing.assert_allclose(model.unscale(model.scale(z)), z, atol=1e-6)


def test_a_config_json_that_is_known_for_a_null_shift(shared, tmp_path):
    folder = shared / "golden/sd35_mini"
    (tmp_path / "model.safetensors").symlink_to(folder / "diffusion_pytorch_model.safetensors")
    (tmp_path / "config.json").write_bytes((shared / "hunt/config_null_shift.json").read_bytes())
    model = load(tmp_path)
    z = np.ones((1, 16, 1, 1, 1), np.float32)
    np.testing.assert_array_equal(model.scale(z), 0.5 * z)


@pytest.mark.parametrize(
    "config, words",
    [
        ({"_class_name": "AutoencoderKLTemporalDecoder"}, "AutoencoderKLTemporalDecoder"),
        ({"act_fn": "gelu"}, "only 'silu' can be read"),
        ({"latent_channels": 16}, "latent_channels=16, but the tensors say 4"),
        ({"block_out_channels": [8, 8]}, "block_out_channels"),
        ({"layers_per_block": 2}, "layers_per_block=2"),
        ({"norm_num_groups": 5}, "norm_num_groups=5 must divide"),
        ({"norm_num_groups": 4, "scaling_factor": 0}, "must not be zero"),
        ({"norm_num_groups": 4, "scaling_factor": "much"}, "scaling_factor='much' must be"),
        ({"norm_num_groups": 4, "latents_mean": "?", "latents_std": [1]}, "must be lists of numbers"),
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
    ],
)
def test_a_config_json_that_does_not_fit_is_refused(vae, tmp_path, config, words):
    folder = write_folder(tmp_path, tensors_of(vae, "diffusers"), config)
    with pytest.raises(InputError) as error:
        load(folder)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_null_sizes_in_config_json_say_nothing():
    sizes = Sizes(8, (8, 12), 1, 4)
    require_same_sizes({"latent_channels": None}, sizes, "x")
    with pytest.raises(InputError, match="latent_channels=5, but the tensors say 4"):
        require_same_sizes({"latent_channels": 5}, sizes, "x")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop("decoder.conv_out.bias"), "1 missing (decoder.conv_out.bias)"),
        (lambda t: t.update({"decoder.more.bias": np.zeros(1)}), "1 unexpected (decoder.more.bias)"),
        (lambda t: t.update({"quant_conv.bias": np.zeros(3)}), "1 of another shape"),
        (lambda t: t.update({"decoder.conv_in.bias": np.full(12, np.nan)}), "1 not finite"),
        (lambda t: t.pop("encoder.conv_in.weight"), "no tensor that means 'encoder.conv_in.weight'"),
        (lambda t: t.update({"encoder.conv_in.weight": np.zeros((0, 3, 3, 3))}), "damaged"),
        (lambda t: t.update({"encoder.mid_block.attentions.0.query.bias": np.zeros(12)}), "mixes two layouts"),
        (lambda t: (t.clear(), t.update(x=np.zeros(1))), "no family has tensors of such names"),
    ],
)
def test_reading_is_strict(vae, tmp_path, change, words):
    tensors = tensors_of(vae, "diffusers")
    change(tensors)
    folder = write_folder(tmp_path, {n: np.asarray(v, np.float32) for n, v in tensors.items()}, {"norm_num_groups": 4})
    with pytest.raises(InputError) as error:
        load(folder)
    assert words in str(error.value)


def test_other_families_files_are_refused(tmp_path):
    TemporalAutoencoder({"ch": 8, "ch_mult": (1, 1), "norm_num_groups": 2}).save(tmp_path / "tae.safetensors")
    save_file({"x": np.zeros(1, np.float32)}, str(tmp_path / "x.safetensors"))
    for read in (open_foreign, lambda path: ImageVAE(pretrained=path)):
        with pytest.raises(InputError, match="family 'tae'"):
            read(tmp_path / "tae.safetensors")
        with pytest.raises(InputError, match="not an image VAE"):
            read(tmp_path / "x.safetensors")


def test_names_of_other_models_are_not_an_image_vaes():
    assert not ImageVAE.reads(["encoder.conv_in.conv_spat.weight", "encoder.down.0.block.0.conv1.conv_spat.weight"])
    assert not ImageVAE.reads(["encoder.down.0.block.0.conv1.conv.weight", "encoder.conv_in.spatial.weight"])
    assert not ImageVAE.reads(["spatial_vae.module.encoder.down_blocks.0.resnets.0.conv1.weight"])
    assert dialect_of(["encoder.down.0.block.0.conv1.weight"]) == "ldm"


def test_an_image_vae_with_quant_convolutions_is_not_inflated(vae, tmp_path):
    folder = write_folder(tmp_path / "vae", tensors_of(vae, "diffusers"), {"norm_num_groups": 4})
    bad = call_script("tools/inflate_vae_to_tae.py", "--src", folder, "--target", "tae.ckpt", cwd=tmp_path, code=2)
    check_one_line_error(bad, "4 unexpected", "post_quant_conv.weight")


def test_a_null_shift_is_none_in_an_inflated_model_too(tmp_path):
    vae = ImageVAE(SIZES)
    stored = {"norm_num_groups": 4, "scaling_factor": 0.5, "shift_factor": None}
    done = inflate(write_folder(tmp_path, tensors_of(vae, "diffusers"), json.dumps(stored)))
    assert (done.tae.config["scaling_factor"], done.tae.config["shift_factor"]) == (0.5, 0)
    assert set(done.origins.values()) == {"config.json"}


def test_an_image_vae_that_was_saved_here_is_inflated_too(vae, tmp_path):
    plain = ImageVAE(dict(vae.config) | {"use_quant_conv": False, "use_post_quant_conv": False}, dtype="fp32")
    plain.save(tmp_path / "vae.safetensors")
    done = inflate(tmp_path / "vae.safetensors")
    assert done.tae.config["scaling_factor"] == plain.config["scaling_factor"]
    assert done.tae.config["norm_num_groups"] == plain.config["norm_num_groups"]
    own, made = (weights.named_parameters(one) for one in (plain, done.tae))
    for name in ("encoder.conv_in", "decoder.levels.0.blocks.0.conv1"):
        np.testing.assert_array_equal(own[f"{name}.weight"].asnumpy(), made[f"{name}.spatial.weight"].asnumpy())
