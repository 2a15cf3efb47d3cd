"""Weights files: round trips, strictness, and damage."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import NANO, pynative, random_clip, randomise
from mindspore import Tensor, nn

import mg
from mg.errors import InputError
from mg.models import families, weights
from mg.models.tae.names import is_temporal
from mg.models.tae.tae import TemporalAutoencoder


def values(tae):
    return {p.name: p.asnumpy() for p in tae.get_parameters()}


@pytest.fixture(params=[".ckpt", ".safetensors"])
def suffix(request):
    return request.param


def test_a_file_alone_rebuilds_the_model(random_nano, tmp_path, suffix):
    path = tmp_path / f"tae{suffix}"
    random_nano.save(path)
    loaded = TemporalAutoencoder(pretrained=path)
    assert loaded.config == random_nano.config
    for name, value in values(random_nano).items():
        np.testing.assert_array_equal(values(loaded)[name], value)
    assert [p.name for p in tmp_path.iterdir()] == [f"tae{suffix}"]


@pytest.mark.parametrize("dtype, tolerance", [("fp16", 1e-3), ("bf16", 8e-3)])
def test_half_precision_storage_rounds_and_nothing_else(random_nano, tmp_path, suffix, dtype, tolerance):
    path = tmp_path / f"tae{suffix}"
    random_nano.save(path, dtype)
    loaded = values(TemporalAutoencoder(pretrained=path))
    for name, value in values(random_nano).items():
        np.testing.assert_allclose(loaded[name], value, rtol=tolerance, atol=1e-6)
    full = tmp_path / f"full{suffix}"
    random_nano.save(full)
    assert path.stat().st_size < 0.7 * full.stat().st_size


def test_identity_parameters_can_be_left_out_and_come_back(nano, tmp_path, suffix):
    path = tmp_path / f"tae{suffix}"
    nano.save(path, omit_identity=True)
    assert not any(map(is_temporal, weights.TensorFile(path)))
    loaded = values(TemporalAutoencoder(pretrained=path))
    for name, value in values(nano).items():
        np.testing.assert_array_equal(loaded[name], value)


def test_trained_temporal_parameters_are_never_left_out(random_nano, tmp_path):
    with pytest.raises(InputError, match="left their identity start"):
        random_nano.save(tmp_path / "tae.ckpt", omit_identity=True)
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_disagrees_with_the_file_is_refused_naming_the_keys(nano, tmp_path):
    path = tmp_path / "tae.safetensors"
    nano.save(path)
    assert TemporalAutoencoder(dict(nano.config), path).config == nano.config
    with pytest.raises(InputError) as error:
        TemporalAutoencoder({**NANO, "shift_factor": 0.5, "norm_num_groups": 4}, path)
    assert "shift_factor is 0.5 but 0.0609" in str(error.value)
    assert "norm_num_groups is 4 but 2" in str(error.value)
    assert "z_channels" not in str(error.value)


def rewrite(tae, path, change):
    """Write the model's tensors to `path` after `change` has had its way with them."""
    tensors = values(tae)
    change(tensors)
    header = {"family": "tae", "config": dict(tae.config)}
    weights.save_file(tensors, str(path), metadata={"mg": json.dumps(header)})


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: [t.pop(name) for name in list(t)[:7]], "7 missing (encoder.conv_in.spatial.weight, "),
        (lambda t: t.update(extra=np.zeros(1, np.float32)), "1 unexpected (extra)"),
        (
            lambda t: t.update({"encoder.conv_in.spatial.bias": np.zeros(9, np.float32)}),
            "1 of another shape (encoder.conv_in.spatial.bias (9,) instead of (8,))",
        ),
        (
            lambda t: t.update({"encoder.conv_in.spatial.bias": np.full(8, np.nan, np.float32)}),
            "1 not finite (encoder.conv_in.spatial.bias)",
        ),
    ],
)
def test_loading_is_strict(nano, tmp_path, change, words):
    path = tmp_path / "tae.safetensors"
    rewrite(nano, path, change)
    with pytest.raises(InputError) as error:
        TemporalAutoencoder(pretrained=path)
    assert words in str(error.value)


def test_at_most_five_names_are_listed(nano, tmp_path):
    path = tmp_path / "tae.safetensors"
    rewrite(nano, path, lambda t: t.clear())
    with pytest.raises(InputError) as error:
        TemporalAutoencoder(pretrained=path)
    assert str(error.value).count("encoder.") == 5


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "folder", "suffix"])
def test_damaged_files_give_one_clear_error(nano, tmp_path, suffix, damage):
    path = tmp_path / f"tae{suffix}"
    nano.save(path)
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("these are no weights")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "folder":
        path.unlink()
        path = tmp_path
    else:
        path = path.rename(tmp_path / "tae.pth")
    with pytest.raises(InputError) as error:
        TemporalAutoencoder(pretrained=path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_without_configuration_needs_one_and_says_what_it_is(nano, tmp_path):
    path = tmp_path / "plain.safetensors"
    weights.save_file(values(nano), str(path))
    with pytest.raises(InputError, match="pass the config="):
        TemporalAutoencoder(pretrained=path)
    assert TemporalAutoencoder(NANO, path).config == nano.config
    foreign = tmp_path / "foreign.safetensors"
    weights.save_file({"encoder.conv_in.conv_spat.weight": np.zeros(1, np.float32)}, str(foreign))
    with pytest.raises(InputError, match="convert_checkpoint"):
        TemporalAutoencoder(pretrained=foreign)


def test_a_file_of_another_family_or_with_unknown_keys_is_refused(nano, tmp_path):
    path = tmp_path / "other.safetensors"
    weights.write(path, weights.named_parameters(nano), {"family": "lfq", "config": {}})
    with pytest.raises(InputError, match="family 'lfq'"):
        TemporalAutoencoder(pretrained=path)
    weights.write(path, weights.named_parameters(nano), {"family": "tae", "config": {"chanels": 8}})
    with pytest.raises(InputError, match="chanels"):
        TemporalAutoencoder(pretrained=path)
    for header in ("{", "[]", '{"family": "tae"}', '{"family": "tae", "config": [8]}'):
        weights.save_file(values(nano), str(path), metadata={"mg": header})
        with pytest.raises(InputError, match=r"damaged|cannot be used"):
            TemporalAutoencoder(pretrained=path)


def test_equal_weights_make_equal_files(nano, tmp_path, suffix):
    files = [tmp_path / f"{index}{suffix}" for index in range(2)]
    for path in files:
        nano.save(path, "fp16", omit_identity=True)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_each_tensor_is_read_once(nano, tmp_path, monkeypatch):
    path = tmp_path / "tae.safetensors"
    nano.save(path)
    file = weights.TensorFile(path)
    read = []
    plain = file._read
    file._read = lambda name: read.append(name) or plain(name)
    weights.assign(TemporalAutoencoder(NANO), list(values(nano)), file, path)
    assert sorted(read) == sorted(values(nano))


def test_a_failed_write_leaves_the_old_file_and_no_part(nano, tmp_path, suffix, monkeypatch):
    path = tmp_path / f"tae{suffix}"
    path.write_text("old")

    def full_disk(*args, **kwargs):
        part = next(argument for argument in args if isinstance(argument, str))
        for name in (part, part + ".tmp"):  # MindSpore's own temporary name
            Path(name).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights, "save_file", full_disk)
    monkeypatch.setattr(weights.ms, "save_checkpoint", full_disk)
    with pytest.raises(InputError, match="No space left"):
        nano.save(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("value, dtype", [(1e6, "fp16"), (np.inf, "fp32")])
def test_what_cannot_be_stored_is_not_written(tmp_path, suffix, value, dtype):
    tae = TemporalAutoencoder(NANO)
    tae.encoder.conv_in.spatial.bias.set_data(Tensor(np.full(8, value, np.float32)))
    with pytest.raises(InputError, match="not finite in"):
        tae.save(tmp_path / f"tae{suffix}", dtype)
    assert list(tmp_path.iterdir()) == []


def test_integer_tensors_are_no_weights(nano, tmp_path):
    path = tmp_path / "tae.safetensors"
    rewrite(nano, path, lambda t: t.update({"encoder.conv_in.spatial.bias": np.zeros(8, np.int32)}))
    with pytest.raises(InputError, match=r"conv_in\.spatial\.bias is I32"):
        TemporalAutoencoder(pretrained=path)


def test_bad_targets_are_refused(nano, tmp_path):
    with pytest.raises(InputError, match=r"must end in"):
        nano.save(tmp_path / "tae.pth")
    with pytest.raises(InputError, match="fp8"):
        nano.save(tmp_path / "tae.ckpt", dtype="fp8")
    assert list(tmp_path.iterdir()) == []


def test_loaded_weights_take_effect_in_a_compiled_graph(tmp_path):
    path = tmp_path / "tae.ckpt"
    source = randomise(TemporalAutoencoder(NANO), seed=3)
    source.save(path)
    tae, x = TemporalAutoencoder(NANO), random_clip(1, 3, 16, 16)
    before = tae.encode(x)[1].asnumpy()
    weights.assign(tae, list(values(tae)), values(source), path)
    after = tae.encode(x)[1].asnumpy()
    assert not np.allclose(before, after)
    with pynative():
        np.testing.assert_allclose(after, source.encode(x)[1].asnumpy(), atol=1e-5)


def test_a_model_that_became_part_of_another_cell_is_saved_under_its_own_names(tmp_path):
    tae = TemporalAutoencoder(NANO)
    names = list(values(tae))
    parent = nn.Cell()
    parent.network = tae
    assert [p.name for p in tae.get_parameters()] != names
    tae.save(tmp_path / "tae.safetensors")
    assert list(weights.TensorFile(tmp_path / "tae.safetensors")) == sorted(names)
    TemporalAutoencoder(pretrained=tmp_path / "tae.safetensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_flipped_bit_is_noticed_unless_nobody_looks(nano, tmp_path, suffix):
    path = tmp_path / f"nano{suffix}"
    nano.save(path)
    content = bytearray(path.read_bytes())
    value = next(iter(nano.get_parameters())).asnumpy().tobytes()[:64]
    place = bytes(content).index(value)
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged .*not those that were written") as error:
        weights.TensorFile(path)
    assert "\n" not in str(error.value)
    assert len(weights.TensorFile(path, verify=False)) == len(list(nano.get_parameters()))
    families.load(path, verify=False)


@pytest.mark.parametrize("omitted", ["spatial", 5, ["temporal"]])
def test_a_file_that_leaves_out_what_nobody_knows_is_refused(nano, tmp_path, omitted):
    path = tmp_path / "nano.safetensors"
    weights.write(path, weights.named_parameters(nano), {**nano.header(), "omitted": omitted})
    with pytest.raises(InputError, match=r"leaves out .* unknown"):
        families.load(path)


def test_a_model_without_a_file_says_that_its_weights_are_random(caplog, tmp_path):
    caplog.set_level("INFO", "mg")
    model = TemporalAutoencoder(NANO, use_tile=True)
    assert [record.message for record in caplog.records if "random" in record.message]
    caplog.clear()
    model.save(tmp_path / "nano.safetensors")
    families.load(tmp_path / "nano.safetensors")
    assert "random" not in caplog.text


def test_the_default_takes_what_the_constructor_takes():
    for build in (TemporalAutoencoder.from_default, mg.from_default):
        model = build(use_tile=False, dtype="fp32", encode_tile=16, spatial_tile=128, verify=False)
        assert (model.use_tile, model.tiles.encode_tile, model.tiles.spatial_tile) == (False, 16, 128)
