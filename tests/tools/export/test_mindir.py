"""Exported graphs give what the model gives."""

import json

import mindspore as ms
import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error
from kinds import KINDS, build, clip
from mindspore import Tensor, nn

from mg.files import sha256
from mg.models.tiling import stream

TOOL = "tools/export/mindir.py"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if not kind.family.startswith("toy")], ids=lambda kind: kind.family
)
def test_exported_graphs_are_the_model(kind, tmp_path):
    model = build(kind)
    model.save(tmp_path / "nano.safetensors")
    flags = ("--ckpt_path", "nano.safetensors", "--frames", 6, "--size", 17, 20, "--batch_size", 2)
    call_script(TOOL, *flags, "--output_path", "out", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"decoder.mindir", "encoder.mindir", "export.json"}
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    encoder, decoder = (
        nn.GraphCell(ms.load(str(tmp_path / "out" / f"{name}.mindir"))) for name in ("encoder", "decoder")
    )
    small = clip(2, 3, 6, 17, 20)
    padded = stream.padded(small, model.space_compression, model.filled(6))
    assert about["encoder"]["input"] == list(padded.shape)
    assert about["input_dtype"] == about["output_dtype"] == "Float32"
    outputs = encoder(Tensor(padded))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert [list(output.shape) for output in outputs] == about["encoder"]["outputs"]
    model.use_tile = False
    raw = model.encode_tile(padded)[0]
    np.testing.assert_allclose(np.concatenate([output.asnumpy() for output in outputs], 1), raw, rtol=0, atol=1e-6)
    latents = np.split(raw, len(outputs), 1)[0]
    assert about["decoder"]["input"] == list(latents.shape)
    found, expected = decoder(Tensor(latents)).asnumpy(), model.decode_tile(latents, 6)[0]
    assert about["decoder"]["outputs"] == [list(found.shape)]
    kept = slice(found.shape[2] - expected.shape[2], None)
    np.testing.assert_allclose(found[:, :, kept], expected, rtol=0, atol=1e-6)
    assert about["weights_sha256"] == sha256(tmp_path / "nano.safetensors")
    assert about["encoder"]["sha256"] == sha256(tmp_path / "out" / "encoder.mindir")
    for name, value in (("scaling_factor", model.factors.scaling), ("shift_factor", model.factors.shift)):
        np.testing.assert_array_equal(about[name], value)


@pytest.mark.parametrize(
    "flags, words",
    [
        (("--frames", 0), ("frames=0", "at least 1")),
        (("--size", 8, 64), ("size=8 64", "from 16")),
        (("--ckpt_path", "none.ckpt"), ("none.ckpt",)),
        (("--dtype", "bf16"), ("dtype=bf16", "fp16")),
        (("--output_path", "a_file"), ("a_file", "is a file")),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(tmp_path, flags, words):
    (tmp_path / "a_file").touch()
    check_one_line_error(call_script(TOOL, *flags, cwd=tmp_path, code=2), *words)
    assert not list(tmp_path.rglob("*.mindir"))
