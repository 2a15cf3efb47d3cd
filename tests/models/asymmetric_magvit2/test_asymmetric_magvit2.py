"""AsymmetricMagVitV2: lengths, what a frame may see, older files, doors."""

from __future__ import annotations

import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error, run
from media import moving_frames, write_clip
from mindspore import Tensor
from safetensors.numpy import save_file

from mg.errors import InputError
from mg.models import families, weights
from mg.models.asymmetric_magvit2.config import AsymmetricMagVit2Config
from mg.models.asymmetric_magvit2.convert import convert
from mg.models.asymmetric_magvit2.model import AsymmetricMagVit2
from mg.models.layers import attention
from mg.models.layers.norm import GroupNorm
from mg.models.weights import TensorFile

NANO = {"ch": 8, "ch_mult": (1, 2, 2), "num_res_blocks": 1, "norm_num_groups": 2, "temporal_levels": (0, 1)}
RNG = np.random.default_rng(3)


def clip(*shape):
    return RNG.uniform(-1, 1, shape).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    model = AsymmetricMagVit2(NANO)
    for p in model.get_parameters():
        scale = 0.1 if len(p.shape) == 1 else np.prod(p.shape[1:]) ** -0.5
        start = p.asnumpy() if len(p.shape) == 1 else 0
        p.set_data(Tensor((start + scale * RNG.standard_normal(p.shape)).astype(np.float32)))
    return model


def test_every_length_comes_back_and_windows_begin_anew(model, uncompiled):
    x = clip(1, 3, 34, 16, 16)
    _, mean, _ = model.encode(x)
    assert mean.shape[2] == 5 + 5 == model.latent_frames(34)
    recon = model.decode(mean, 34).asnumpy()
    assert recon.shape == x.shape
    for start, stop, latents in ((0, 17, slice(0, 5)), (17, 34, slice(5, 10))):
        _, alone, _ = model.encode(x[:, :, start:stop])
        np.testing.assert_array_equal(alone.asnumpy(), mean[:, :, latents].asnumpy())
        np.testing.assert_array_equal(model.decode(alone, stop - start).asnumpy(), recon[:, :, start:stop])


@pytest.mark.slow
@pytest.mark.parametrize("frames", range(1, 35))
def test_lengths_from_1_to_34_are_equal_whole_and_in_streams(model, frames, uncompiled):
    x = clip(1, 3, frames, 18, 20)
    recon, z, mean, _ = model(x, seed=1)
    assert recon.shape == x.shape
    pieces = [x[:, :, start : start + 5] for start in range(0, frames, 5)]
    stream = [part[1].asnumpy() for part in model.encode_stream(pieces, seed=1)]
    np.testing.assert_array_equal(np.concatenate(stream, 2), mean.asnumpy())
    back = np.concatenate([part.asnumpy() for part in model.decode_stream([z], frames)], 2)
    np.testing.assert_array_equal(back[..., :18, :20], recon.asnumpy())


def test_a_clip_is_filled_up_by_its_last_frame(model, uncompiled):
    x = clip(1, 3, 7, 16, 16)
    filled = np.concatenate((x, x[:, :, -1:], x[:, :, -1:]), 2)
    _, mean, _ = model.encode(x)
    np.testing.assert_array_equal(mean.asnumpy(), model.encode(filled)[1].asnumpy())
    inside, _ = model.encoder(Tensor(x))  # as in a training step
    np.testing.assert_allclose(inside.asnumpy(), mean.asnumpy(), atol=1e-6)


def test_no_frame_sees_later_ones_once_norms_know_nothing_of_the_clip(uncompiled, monkeypatch):
    monkeypatch.setattr(GroupNorm, "construct", lambda self, x: x)
    model = AsymmetricMagVit2(NANO)
    x = clip(1, 3, 13, 16, 16)
    changed = x.copy()
    changed[:, :, 9:] += 0.5
    before, after = (model.encoder(Tensor(one))[0].asnumpy() for one in (x, changed))
    np.testing.assert_array_equal(before[:, :, :3], after[:, :, :3])  # frames 0, 1 to 4, 5 to 8
    assert np.abs(before[:, :, 3] - after[:, :, 3]).max() > 1e-4
    z = clip(1, 4, 4, 4, 4)
    changed = z.copy()
    changed[:, :, 2:] += 0.5
    before, after = (model.decoder(Tensor(one)).asnumpy() for one in (z, changed))
    np.testing.assert_array_equal(before[:, :, :5], after[:, :, :5])
    assert np.abs(before[:, :, 5:] - after[:, :, 5:]).max() > 1e-4


@pytest.mark.parametrize("most_scores", [2**25, 2 * 30 * 7, 1])
def test_blocks_of_attention_are_the_plain_triangle(most_scores, uncompiled, monkeypatch):
    monkeypatch.setattr(attention, "MAX_SCORES", most_scores)
    query, key, value = (RNG.standard_normal((2, 30, 8)).astype(np.float32) for _ in range(3))
    scores = query @ key.swapaxes(1, 2) / np.sqrt(8)
    scores = np.where(np.tril(np.ones((30, 30), bool)), scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    expected = shares / shares.sum(-1, keepdims=True) @ value
    result = attention.AttendBefore()(Tensor(query), Tensor(key), Tensor(value)).asnumpy()
    np.testing.assert_allclose(result, expected, atol=2e-6)


def published(model, older=False):
    """The model's weights as the original names and shapes them."""
    levels = len(model.config["ch_mult"])
    found = {}
    for ours, p in weights.named_parameters(model).items():
        name, value = theirs(ours, levels), p.asnumpy()
        if name.endswith(".conv.weight") and any(word in name for word in (".attn_1.", "nin_shortcut")):
            value = value.reshape(*value.shape[:2], 1, 1, 1)
        found[name.replace(".downsample.conv.conv.", ".downsample.conv.casual_conv.") if older else name] = value
    return found


def theirs(ours, levels):
    network, *rest = ours.split(".")
    leaf = rest[-1]
    words = {"query": "q", "key": "k", "value": "v", "projection": "proj_out", "shortcut": "nin_shortcut"}
    if rest[0] == "levels":
        level = int(rest[1]) if network == "encoder" else levels - 1 - int(rest[1])
        rest = ["down" if network == "encoder" else "up", str(level), *rest[2:]]
        if rest[2] == "blocks":
            rest[2] = "block"
        if rest[2] == "upsample" and rest[3] != "conv":
            rest.insert(3, "conv3d")
    elif rest[0] == "middle":
        rest[:2] = ["mid", {"block1": "block_1", "attention": "attn_1", "block2": "block_2"}[rest[1]]]
    rest = [words.get(word, word) for word in rest]
    spatial = rest[-3:-1] in (["downsample", "conv"], ["upsample", "conv"])
    in_time = network == "encoder" and spatial and int(rest[1]) in NANO["temporal_levels"]
    plain = "norm" in rest[-2] or (network, rest[0]) == ("decoder", "conv_out") or (spatial and not in_time)
    return ".".join((network, *rest[:-1], *([] if plain else ["conv"]), leaf))


@pytest.mark.parametrize("older", [False, True])
def test_published_and_older_files_convert_and_what_is_unused_is_left_out(model, older, tmp_path):
    tensors = published(model, older)
    if older:
        tensors["loss.discriminator.weight"] = np.zeros(3, np.float32)
        tensors["encoder.down.1.downsample.conv.nin_shortcut.conv.weight"] = np.zeros(3, np.float32)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}")
    save_file(tensors, str(tmp_path / "folder" / "model.safetensors"))
    if older:
        done = run("tools/convert_checkpoint.py", "--src", "folder", "--target", "a.ckpt", cwd=tmp_path, code=2)
        check_one_line_error(done, "norm_num_groups=32 must divide")
    flags = ("--src", "folder", "--target", "a.safetensors", "--norm_num_groups", 2)
    done = run("tools/convert_checkpoint.py", *flags, cwd=tmp_path)
    assert ("2 tensors are left out" in done.stderr) == older
    loaded = families.load(tmp_path / "a.safetensors")
    assert loaded.config == model.config
    for name, p in weights.named_parameters(loaded).items():
        np.testing.assert_array_equal(p.asnumpy(), weights.named_parameters(model)[name].asnumpy())


def test_what_is_missing_or_left_over_is_an_error(model, tmp_path):
    tensors = published(model)
    tensors["encoder.extra.weight"] = tensors.pop("decoder.mid.attn_1.q.conv.bias")
    save_file(tensors, str(tmp_path / "a.safetensors"))
    words = r"1 missing \(decoder.middle.attention.query.bias\); 1 unexpected \(encoder.extra.weight\)"
    with pytest.raises(InputError, match=words):
        convert(TensorFile(tmp_path / "a.safetensors"), 2)
    with pytest.raises(InputError, match="no tensor that means"):
        save_file({"encoder.mid.attn_1.q.conv.weight": np.zeros((2, 2), np.float32)}, str(tmp_path / "b.safetensors"))
        convert(TensorFile(tmp_path / "b.safetensors"))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"ch": 30}, "norm_num_groups=4 must divide"),
        ({"temporal_levels": (2,)}, r"temporal_levels=\[2\] must be rising numbers of levels that halve, of \[0, 1\]"),
        ({"temporal_levels": (1, 0)}, "must be rising"),
        ({"ch_mult": ()}, "ch_mult has 0 levels"),
        ({"scaling_factor": (1.0, 2.0)}, "scaling_factor has 2 numbers"),
    ],
)
def test_wrong_sizes_are_named(changes, words):
    groups = {"norm_num_groups": 4} if "ch" in changes else {}
    with pytest.raises(InputError, match=words):
        AsymmetricMagVit2Config.from_mapping({**NANO, **groups, **changes})


def test_its_users_command(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    write_clip(tmp_path / "media" / "a.mp4", moving_frames(12, 40, 36), 24)
    flags = (
        "--input_path",
        "media",
        "--model_path",
        "model.safetensors",
        "--output_folder",
        "out",
        "--mode",
        "pynative",
    )
    call_script("scripts/infer_vae.py", *flags, "--save_frames", cwd=tmp_path)
    names = [f"{number}.png" for number in range(4)]  # 24 frames a second shown at 8
    for folder in ("gth", "rec"):
        assert sorted(path.name for path in (tmp_path / "out" / "a" / folder).iterdir()) == names
    slices = ("--spatial_mode", "paste", "--max_size", 32, "--min_size", 16, "--divide", 16)
    latents = ("--min_latent_size", 4, "--max_latent_size", 8, "--sample_frame", 2, "--unregularized", "false")
    call_script("scripts/infer_vae.py", *flags, *slices, *latents, cwd=tmp_path)
    assert '"width": 32' in (tmp_path / "out" / "metrics.json").read_text()
    done = run("scripts/infer_vae.py", *flags, "--encoder_window", "9", cwd=tmp_path, code=2)
    check_one_line_error(done, "encoder_window=9 must be encoder_init_window=17, or 0")
