"""Exported graphs give what the model gives."""

import json

import mindspore as ms
import numpy as np
import pytest
from calls import call_script
from conftest import check_one_line_error, random_clip
from mindspore import nn

from mg.files import sha256

TOOL = "tools/export/mindir.py"


@pytest.mark.slow
def test_exported_graphs_are_the_model(random_nano, tmp_path):
    random_nano.save(tmp_path / "nano.safetensors")
    flags = ("--ckpt_path", "nano.safetensors", "--frames", 5, "--size", 17, 20, "--batch_size", 2)
    call_script(TOOL, *flags, "--output_path", "out", cwd=tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "decoder.mindir",
        "encoder.mindir",
        "export.json",
    ]
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    encoder, decoder = (
        nn.GraphCell(ms.load(str(tmp_path / "out" / f"{name}.mindir"))) for name in ("encoder", "decoder")
    )
    assert about["encoder"]["input"] == [2, 3, 5, 17, 20]
    clip = random_clip(*about["encoder"]["input"])
    assert str(clip.dtype) == about["input_dtype"]
    _, mean, logvar = random_nano.encode(clip)
    for found, expected, output in zip(encoder(clip), (mean, logvar), about["encoder"]["outputs"]):
        np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=0, atol=1e-6)
        assert list(found.shape) == output
    found, expected = decoder(mean), random_nano.decode(mean)
    assert about["decoder"]["input"] == list(mean.shape)
    assert about["decoder"]["outputs"] == [list(found.shape)]
    assert str(found.dtype) == about["output_dtype"]
    np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=0, atol=1e-6)
    assert about["weights_sha256"] == sha256(tmp_path / "nano.safetensors")
    assert about["encoder"]["sha256"] == sha256(tmp_path / "out" / "encoder.mindir")
    assert (about["scaling_factor"], about["shift_factor"]) == tuple(
        random_nano.config[key] for key in ("scaling_factor", "shift_factor")
    )


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
