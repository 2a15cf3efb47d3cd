"""Which family a file is of, and what is said where that is not clear."""

import json

import numpy as np
import pytest
from conftest import NANO
from safetensors.numpy import save_file

import mg
from mg.errors import InputError
from mg.models import families
from mg.models.image_vae.model import ImageVAE
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.weights import named_parameters


@pytest.fixture(scope="module")
def headless(nano, tmp_path_factory):
    """Weights of a nano TAE without what says so."""
    path = tmp_path_factory.mktemp("headless") / "tae.safetensors"
    save_file({name: p.asnumpy() for name, p in named_parameters(nano).items()}, path)
    return path


def test_a_file_says_of_which_family_it_is(weights):
    model = mg.load(weights, use_tile=False, encode_tile=4, encode_context=2)
    assert type(model) is TemporalAutoencoder and model.config["ch_mult"] == NANO["ch_mult"]
    assert (model.use_tile, model.tiles.encode_tile, model.weights_path) == (False, 4, weights)
    assert type(families.load(weights, family="tae")) is TemporalAutoencoder
    with pytest.raises(InputError, match="of the family tae, but image_vae is asked for"):
        families.load(weights, family="image_vae")


def test_without_a_path_it_is_what_ships_with_the_package():
    assert type(mg.from_default()) is families.FAMILIES[families.DEFAULT]
    assert mg.from_default(family="tae").weights_path == TemporalAutoencoder.default_weights
    with pytest.raises(InputError, match="no weights of the family image_vae ship"):
        mg.from_default(family="image_vae")


def test_a_fresh_model_of_a_name():
    assert families.build("tae", NANO, "fp32").config["ch"] == 8
    assert issubclass(families.family_of("image_vae"), ImageVAE)
    for act in (lambda: families.build("lfq"), lambda: mg.from_default(family="lfq")):
        with pytest.raises(InputError, match=r"no family 'lfq'; use one of tae, image_vae"):
            act()


def test_a_file_without_a_header_needs_family_and_configuration(headless):
    with pytest.raises(InputError, match="no family has tensors of such names"):
        families.load(headless)
    with pytest.raises(InputError, match="carries no configuration"):
        families.load(headless, family="tae")
    assert families.load(headless, family="tae", config=NANO).config["ch"] == 8


@pytest.mark.parametrize("name", ["latents", "lpips_vgg", None])
def test_other_files_of_ours_are_no_models(tmp_path, name):
    save_file({"x": np.zeros(1, np.float32)}, tmp_path / "x.safetensors", {"mg": json.dumps({"family": name})})
    with pytest.raises(InputError, match=f"holds '{name}', which is no family of models"):
        families.load(tmp_path / "x.safetensors")


def test_sizes_of_tiles_are_checked_by_name_and_value(weights):
    with pytest.raises(InputError, match="unknown size of tiles: tile"):
        families.load(weights, tile=4)
    with pytest.raises(InputError, match="encode_tile=3"):
        families.load(weights, encode_tile=3)
