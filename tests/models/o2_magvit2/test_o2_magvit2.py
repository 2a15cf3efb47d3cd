"""The tokenizer: sizes, names, causality, streams in windows of any lengths."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_o2 import IMAGE, VIDEO, build, clip

from mg.errors import InputError
from mg.models import weights
from mg.models.o2_magvit2.config import O2Magvit2Config
from mg.models.o2_magvit2.convert import config_of, convert, reads, reshaped
from mg.models.o2_magvit2.model import O2Magvit2
from mg.models.o2_magvit2.names import dialect_of, to_ours, without_prefix

pytestmark = pytest.mark.usefixtures("uncompiled")
FAULT = "encoder.res_blocks.res_block_4.res_block_0_3.conv_1.conv.weight"


class Shaped:
    """Stands for a tensor of which only the shape matters."""

    def __init__(self, shape):
        self.shape, self.ndim = shape, len(shape)

    def __getitem__(self, index):
        none = index if isinstance(index, tuple) else (index,)
        kept = self.shape[: sum(one == slice(None) for one in none)]
        if None in none:
            return Shaped(kept + (1,) * none.count(None))
        return Shaped(kept + self.shape[len(none) :])


@pytest.fixture(scope="module")
def model():
    """Not to be changed."""
    return build()


def listed(path):
    """{name: shape} of a list of the published model's tensors."""
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {name: tuple(map(int, re.findall(r"\d+", shape))) for name, shape in rows}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"filter": 8}, "filter"),
        ({"filters": 0}, "filters=0"),
        ({"channel_multipliers": ()}, "temporal_downsample has"),
        ({"temporal_downsample": (True,)}, "temporal_downsample has 1 values"),
        ({"temporal_downsample": (1, 0)}, "temporal_downsample"),
        ({"image_model": True}, "codes every frame alone"),
        ({"norm_groups": 3}, "norm_groups=3"),
        ({"token_size": 31}, "token_size=31"),
    ],
)
def test_bad_sizes_are_named(change, words):
    with pytest.raises(InputError, match=words):
        O2Magvit2({**VIDEO, **change})


def test_the_published_sizes_are_the_defaults():
    config = O2Magvit2Config()
    assert config.channels == (128, 128, 256, 256, 512)
    assert (config.space_compression, config.time_compression, config.token_size) == (16, 4, 18)


@pytest.mark.parametrize("file, image", [("names_full.txt", False), ("names_full_2d.txt", True)])
def test_every_published_name_has_its_place_by_rules(shared, file, image):
    """Names and shapes alone; tensors of that size are converted in the slow test."""
    published = listed(shared / "golden/o2_magvit2_mini" / file)
    assert image or FAULT in published
    tensors = {ours: reshaped(ours, Shaped(published[theirs])) for ours, theirs in to_ours(published).items()}
    assert len(tensors) == len(published) - 1  # the values of the bits
    config = config_of(tensors, image, 32, file)
    default = O2Magvit2Config()
    assert config == (O2Magvit2Config(temporal_downsample=(False,) * 4, image_model=True) if image else default)
    counts = {part: sum(np.prod(t.shape) for n, t in tensors.items() if n.startswith(part)) for part in ("enc", "dec")}
    millions = [round(count / 1e6, 2) for count in counts.values()]
    assert millions == ([49.75, 65.38] if image else [148.85, 231.0])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["names_full.txt", "names_full_2d.txt"])
def test_a_file_of_the_published_sizes_is_converted_whole(shared, tmp_path, file):
    published, rng = listed(shared / "golden/o2_magvit2_mini" / file), np.random.default_rng(0)
    drawn = {name: rng.standard_normal(shape, np.float32) for name, shape in published.items()}
    drawn["quantize.mask"] = drawn["quantize.mask"].astype(np.int64)
    weights.save_file(drawn, str(tmp_path / "full.safetensors"))
    model = convert(tmp_path / "full.safetensors")
    theirs = to_ours(published)
    for name, parameter in weights.named_parameters(model).items():
        np.testing.assert_array_equal(parameter.asnumpy(), reshaped(name, drawn[theirs[name]]))


def to_published(name):
    """Our name -> the original's, the other way round from the rules under test."""
    side, *rest = name.split(".")
    path = ".".join(rest)
    for pattern, replacement in (
        (r"^levels\.(\d+)\.blocks\.(\d+)\.", r"res_blocks.res_block_\1.res_block_\1_\2."),
        (r"^(first|final)\.(\d+)\.", r"res_blocks.res_block_\1.res_block_\1_\2."),
        (r"^levels\.(\d+)\.downsample\.0\.", r"conv_downsample_blocks.conv_downsample_\1.conv."),
        (r"^levels\.(\d+)\.upsample\.conv\.", r"conv_upsample_blocks.conv_upsample_\1.conv1.conv."),
        (r"^levels\.(\d+)\.norm\.", r"cond_norm_layers.cond_norm_\1."),
        (r"\.norm1\.", ".norm_0.norm_fn."),
        (r"\.norm2\.", ".norm_1.norm_fn."),
        (r"^norm_out\.", "final_norm.norm_fn."),
        (r"\.conv1\.(?!conv)", ".conv_0.conv."),
        (r"\.conv2\.", ".conv_1.conv."),
        (r"\.shortcut\.", ".conv_shortcut.conv."),
        (r"^conv_in\.", "conv_first.conv."),
        (r"^conv_out\.", "conv_last.conv."),
        ("res_block_first", "res_block_pre"),
    ):
        path = re.sub(pattern, replacement, path)
    if side == "encoder":  # the fault of the published names
        path = re.sub(r"res_block_(\d+)\.res_block_\d+_([1-9])", r"res_block_\1.res_block_0_\2", path)
    return f"{side}.{path}"


def published_tensors(model, prefix):
    """The tensors of a video model as the original keeps them."""
    tensors = {f"{prefix}quantize.mask": np.zeros(model.config["token_size"], np.int64)}
    for name, parameter in weights.named_parameters(model).items():
        value = parameter.asnumpy()
        if name.endswith((".gamma.weight", ".beta.weight")):
            value = value[:, :, 0, 0]
        elif value.ndim == 4:
            value = value[:, :, None]
        tensors[prefix + to_published(name)] = np.ascontiguousarray(value)
    return tensors


@pytest.mark.parametrize("prefix", ["", "module.", "tokenizer.", "tokenizer.module.", "module.tokenizer."])
def test_weights_are_found_under_their_prefixes(tmp_path, prefix):
    model = build({**VIDEO, "num_res_blocks": 2})
    tensors = published_tensors(model, prefix)
    if "tokenizer." in prefix:
        tensors["discriminator.conv_in.weight"] = np.zeros((2, 2), np.float32)
    path = tmp_path / "original.safetensors"
    weights.save_file(tensors, str(path))
    assert reads(tensors)
    converted = convert(path, norm_groups=2)
    assert dict(converted.config) == dict(model.config)
    for name, parameter in weights.named_parameters(converted).items():
        np.testing.assert_array_equal(parameter.asnumpy(), weights.named_parameters(model)[name].asnumpy())


def test_what_is_missing_or_foreign_is_one_line(tmp_path, model):
    path = tmp_path / "original.safetensors"
    tensors = published_tensors(model, "")
    del tensors["decoder.conv_last.conv.bias"]
    weights.save_file(tensors, str(path))
    with pytest.raises(InputError, match=r"1 missing \(decoder\.conv_out\.bias"):
        convert(path, norm_groups=2)
    weights.save_file({"a": np.zeros(1, np.float32)}, str(path))
    with pytest.raises(InputError, match="is no O2-MAGVIT2"):
        convert(path)
    assert dialect_of(without_prefix(["module.x"])) == "unknown"


def windows(call, array, lengths):
    """What a network gives of a clip in pieces of these lengths, joined."""
    state, start, pieces = None, 0, []
    for length in lengths:
        piece, state = call(array[:, :, start : start + length], state)
        pieces.append(piece)
        start += length
    assert start == array.shape[2]
    return np.concatenate(pieces, 2)


@pytest.mark.parametrize("lengths", [(1, 16), (1, 4, 4, 8), (17, 16)])
def test_a_clip_in_windows_is_the_clip_in_one(model, lengths):
    x = clip(2, 3, sum(lengths), 16, 24)
    whole = model.encode_tile(x)[0]
    raw = windows(model.encode_tile, x, lengths)
    np.testing.assert_allclose(raw, whole, atol=2e-6 * np.abs(whole).max())
    integers = [model.latents.integers(array) for array in (raw, whole)]
    assert (integers[0] != integers[1]).sum() == 0
    z = model.latents.decoded(whole)
    recon = model.decode_tile(z, sum(lengths))[0]
    latents = [model.window_latents(length) if length % 4 else length // 4 for length in lengths]
    pieces = windows(lambda piece, state: model.decode_tile(piece, 0, state), z, latents)
    np.testing.assert_allclose(pieces, recon, atol=2e-6 * np.abs(recon).max())


def test_two_streams_at_once_do_not_know_of_each_other(model):
    one, other = clip(1, 3, 9, 16, 16, seed=1), clip(1, 3, 9, 16, 16, seed=2)
    alone = [model.encode_tile(x)[0] for x in (one, other)]
    first = [model.encode_tile(x[:, :, :5]) for x in (one, other)]
    then = [model.encode_tile(x[:, :, 5:], state)[0] for x, (_, state) in zip((one, other), first)]
    for whole, (begin, _), end in zip(alone, first, then):
        np.testing.assert_allclose(np.concatenate((begin, end), 2), whole, atol=2e-6 * np.abs(whole).max())


def test_no_latent_frame_knows_of_later_frames(model):
    x = clip(1, 3, 13, 16, 16)
    changed = x.copy()
    changed[:, :, 5:] = clip(1, 3, 8, 16, 16, seed=1)
    raw, other = model.encode_tile(x)[0], model.encode_tile(changed)[0]
    np.testing.assert_array_equal(raw[:, :, :2], other[:, :, :2])
    assert np.abs(raw[:, :, 2] - other[:, :, 2]).max() > 0


def test_every_length_is_filled_by_its_last_frame(model):
    x = clip(1, 3, 6, 16, 16)
    filled = np.concatenate([x] + [x[:, :, -1:]] * 3, 2)
    np.testing.assert_array_equal(model.tokenize(x).asnumpy(), model.tokenize(filled).asnumpy())
    recon, z, tokens = model(x)
    assert recon.shape == x.shape and z.shape[2] == tokens.shape[1] == 3
    np.testing.assert_array_equal(model.decode_tokens(tokens, 6).asnumpy(), recon.asnumpy())


def test_an_image_model_codes_every_frame_alone():
    model = build(IMAGE)
    x = clip(1, 3, 3, 16, 16)
    tokens, images = model.tokenize(x).asnumpy(), model.tokenize(x[0].swapaxes(0, 1)).asnumpy()
    np.testing.assert_array_equal(tokens[0], images)
    recon = model.decode_tokens(images).asnumpy()
    np.testing.assert_allclose(model(x)[0].asnumpy()[0].swapaxes(0, 1), recon, atol=2e-6 * np.abs(recon).max())
