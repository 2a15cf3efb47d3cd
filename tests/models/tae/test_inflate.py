"""Inflation and conversion, where no golden array is needed."""

import json

import numpy as np
import pytest
from calls import call_script
from conftest import NANO, ROOT, check_one_line_error, random_clip
from mindspore import Tensor

from mg.errors import InputError
from mg.models import weights
from mg.models.tae.inflate import inflate
from mg.models.tae.names import dialect_of, is_temporal, to_ours
from mg.models.tae.tae import TemporalAutoencoder

pytestmark = pytest.mark.usefixtures("uncompiled")
EQUAL = 5e-5
INFLATE = "tools/inflate_vae_to_tae.py"


def test_an_inflated_video_is_the_image_model_frame_by_frame(nano):
    x = random_clip(1, 3, 5, 16, 16)
    latents = nano.encode(x)[1]
    image_latents = nano.encode(Tensor(x.asnumpy()[0, :, [1, 3, 4]]))[1]
    np.testing.assert_allclose(latents.asnumpy()[0].swapaxes(0, 1), image_latents.asnumpy(), atol=EQUAL)
    clip = nano.decode(latents).asnumpy()[0].swapaxes(0, 1)
    np.testing.assert_allclose(clip, np.repeat(nano.decode(image_latents).asnumpy(), 2, 0), atol=EQUAL)


def test_a_clip_of_equal_frames_is_the_image_everywhere(nano):
    image = np.repeat(random_clip(1, 3, 16, 16).asnumpy(), 3, 0)
    clip = Tensor(np.repeat(image[:1, :, None], 5, 2))
    mean, image_mean = nano.encode(clip)[1], nano.encode(Tensor(image))[1]
    np.testing.assert_allclose(mean.asnumpy()[0].swapaxes(0, 1), image_mean.asnumpy(), atol=EQUAL)
    clip = nano.decode(mean).asnumpy()[0].swapaxes(0, 1)
    np.testing.assert_allclose(clip, np.repeat(nano.decode(image_mean).asnumpy(), 2, 0), atol=EQUAL)


def to_diffusers(name):
    """Our name -> diffusers', the other way round from the rules under test."""
    side, rest = name.split(".", 1)
    level = "down_blocks" if side == "encoder" else "up_blocks"
    for ours, theirs in (
        ("levels.", f"{level}."),
        (".blocks.", ".resnets."),
        ("spatial_downsample.conv", "downsamplers.0.conv"),
        ("spatial_upsample.conv", "upsamplers.0.conv"),
        ("middle.block1", "mid_block.resnets.0"),
        ("middle.block2", "mid_block.resnets.1"),
        ("middle.spatial_attention.norm", "mid_block.attentions.0.group_norm"),
        ("middle.spatial_attention", "mid_block.attentions.0"),
        (".query", ".to_q"),
        (".key", ".to_k"),
        (".value", ".to_v"),
        (".projection", ".to_out.0"),
        ("norm_out", "conv_norm_out"),
        (".shortcut", ".conv_shortcut"),
        (".spatial.", "."),
    ):
        rest = rest.replace(ours, theirs)
    return f"{side}.{rest}"


@pytest.fixture
def image_vae(tmp_path):
    """A function that writes an image VAE in diffusers' layout, and the TAE it must inflate to."""

    def write(folder=tmp_path, change=lambda tensors: None, config=True, **sizes):
        tae = TemporalAutoencoder({**NANO, **sizes})
        tensors = {to_diffusers(p.name): p.asnumpy() for p in tae.get_parameters() if not is_temporal(p.name)}
        change(tensors)
        path = folder / "diffusion_pytorch_model.safetensors"
        weights.save_file(tensors, str(path))
        if config:
            factors = {key: tae.config[key] for key in ("norm_num_groups", "scaling_factor", "shift_factor")}
            (folder / "config.json").write_text(json.dumps({**factors, "latent_channels": tae.config["z_channels"]}))
        return path, tae

    return write


@pytest.mark.parametrize(
    "sizes",
    [
        {"ch": 12, "ch_mult": (1, 1.5, 10 / 12, 2), "num_res_blocks": 2, "z_channels": 3, "scaling_factor": 0.5},
        {"ch": 4, "ch_mult": (1, 2, 3), "norm_num_groups": 4, "shift_factor": -1.0},
    ],
)
def test_sizes_are_read_from_the_tensors(image_vae, sizes):
    path, tae = image_vae(**sizes)
    done = inflate(path.parent)
    assert done.tae.config == tae.config
    assert done.tensors_read + done.tensors_at_identity == len(list(tae.get_parameters()))
    assert set(done.origins.values()) == {"config.json"}
    for p, expected in zip(done.tae.get_parameters(), tae.get_parameters()):
        assert p.name == expected.name
        np.testing.assert_array_equal(p.asnumpy(), expected.asnumpy())


def test_without_config_json_the_factors_are_sd35s(image_vae):
    path, _ = image_vae(config=False, ch=32, norm_num_groups=32)
    done = inflate(path)
    assert (done.tae.config["norm_num_groups"], done.tae.config["scaling_factor"]) == (32, 1.5305)
    assert set(done.origins.values()) == {"SD3.5's default"}


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t.pop("decoder.conv_out.bias"), "1 missing (decoder.conv_out.spatial.bias)"),
        (lambda t: t.update({"quant_conv.weight": np.zeros(1, np.float32)}), "1 unexpected (quant_conv.weight)"),
        (lambda t: t.update({"decoder.conv_in.bias": np.zeros(3, np.float32)}), "1 of another shape"),
        (lambda t: t.pop("encoder.conv_in.weight"), "encoder.conv_in.spatial.weight"),
        (lambda t: t.clear(), "not an image VAE"),
    ],
)
def test_inflation_is_strict(image_vae, change, words):
    path, _ = image_vae(change=change)
    with pytest.raises(InputError) as error:
        inflate(path)
    assert words in str(error.value)


def test_a_config_json_of_another_model_is_refused(image_vae):
    path, _ = image_vae()
    (path.parent / "config.json").write_text('{"norm_num_groups": 2, "latent_channels": 16}')
    with pytest.raises(InputError, match="latent_channels=16"):
        inflate(path)
    (path.parent / "config.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        inflate(path)


def test_the_tool_reports_and_fails_in_one_line(image_vae, tmp_path):
    path, tae = image_vae()
    target = tmp_path / "out" / "tae.ckpt"
    report = call_script(INFLATE, "--src", path, "--target", target, cwd=tmp_path).stdout
    assert TemporalAutoencoder(pretrained=target).config == tae.config
    for words in (
        "tensors read and inflated",
        "starting as the identity",
        "norm_num_groups = 2 (from config.json)",
        "sha256",
    ):
        assert words in report
    bad = call_script(
        "tools/inflate_vae_to_tae.py", "--src", target, "--target", tmp_path / "b.ckpt", cwd=tmp_path, code=2
    )
    check_one_line_error(bad, "it is a TAE already")
    bad = call_script(INFLATE, "--src", path, "--target", "b.pth", cwd=tmp_path, code=2)
    check_one_line_error(bad, "must end in")
    bad = call_script(INFLATE, "--src", path.parent, "--target", path, cwd=tmp_path, code=2)
    check_one_line_error(bad, "is the source itself")
    assert not (tmp_path / "b.ckpt").exists()


def test_dialects_are_told_apart_and_mixed_names_refused():
    assert dialect_of(["encoder.down.0.block.0.conv1.weight"]) == "ldm"
    assert dialect_of(["x"]) == "unknown"
    assert to_ours(["decoder.up.0.block.1.nin_shortcut.bias", "decoder.up.2.upsample.conv.bias"], "ldm") == {
        "decoder.levels.2.blocks.1.shortcut.bias": "decoder.up.0.block.1.nin_shortcut.bias",
        "decoder.levels.0.spatial_upsample.conv.bias": "decoder.up.2.upsample.conv.bias",
    }
    with pytest.raises(InputError, match="mixes two layouts"):
        to_ours(["encoder.conv_norm_out.bias", "encoder.norm_out.bias"], "diffusers")


def test_converting_something_else_is_refused(image_vae, tmp_path):
    path, _ = image_vae()
    bad = call_script("tools/convert_checkpoint.py", "--src", path, "--target", "x.ckpt", cwd=tmp_path, code=2)
    check_one_line_error(bad, "not upstream's TAE")


def test_the_shipped_weights_are_small():
    assert (ROOT / "mg/models/tae/default.safetensors").stat().st_size < 12_000_000
