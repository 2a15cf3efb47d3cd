"""Checkpoints of other programs find who reads them; what they mean nothing to is refused."""

import numpy as np
import pytest
from conftest import check_one_line_error, run
from safetensors.numpy import save_file

TOOL = "tools/convert_checkpoint.py"
UPSTREAMS = "network.autoencoder.encoder.conv_in.conv_spat.weight"


@pytest.mark.parametrize(
    "name, flags, words",
    [
        ("encoder.down_blocks.0.resnets.0.conv1.weight", (), ("not upstream's TAE", "it is loaded as it is")),
        (UPSTREAMS, (), ("no tensor that means",)),
        (UPSTREAMS, ("--downsample_padding", "none"), ("invalid choice: 'none'",)),
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_line(tmp_path, name, flags, words):
    save_file({name: np.zeros((8, 3, 3, 3), np.float32)}, str(tmp_path / "a.safetensors"))
    done = run(TOOL, "--src", "a.safetensors", "--target", "b.safetensors", *flags, cwd=tmp_path, code=2)
    check_one_line_error(done, *words)
    assert not (tmp_path / "b.safetensors").exists()
