"""What is too large, too many or out of place is said in one line, before anything is done."""

import argparse
import re
import shutil
from importlib import import_module

import numpy as np
import pytest
from conftest import NANO, ROOT

from mg import cli
from mg.checks import require_whole
from mg.config import read_recipe
from mg.errors import InputError
from mg.models import inputs
from mg.models.image_vae.config import ImageVAEConfig
from mg.models.tae.config import TAEConfig
from mg.models.tiling.tiles import Tiles

HUGE = 99999999999999999999


@pytest.mark.parametrize(
    "refused, words",
    [
        (lambda: Tiles(spatial_tile=HUGE), f"spatial_tile={HUGE} must be no larger than {2**63 - 1}"),
        (lambda: TAEConfig.from_mapping({**NANO, "ch": HUGE}), f"ch={HUGE} must be a whole number from 1 to 8192"),
        (lambda: require_whole("seed", HUGE, 0), f"seed={HUGE} must be a whole number from 0 to {2**63 - 1}"),
        (lambda: TAEConfig(ch_mult=(1,) * 1000), "ch_mult has 1000 levels"),
        (lambda: ImageVAEConfig(block_out_channels=(32,) * 1000), "block_out_channels has 1000 levels"),
    ],
)
def test_numbers_and_lists_that_are_too_large(refused, words):
    with pytest.raises(InputError) as error:
        refused()
    assert words in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["1e99999", "1e-99999", "1e999999999", "nan", "inf", "1/0", "x"])
def test_what_is_no_frame_rate_is_refused_at_once(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no frame rate"):
        cli.rate(text)
    assert cli.rate("1e3") == 1000 and cli.rate("30000/1001") * 1001 == 30000


def test_pixels_out_of_range_are_noticed_once(caplog, monkeypatch):
    monkeypatch.setattr(inputs, "_warned", False)
    inputs.enter_clip(np.full((1, 3, 1, 16, 16), -1.05, np.float32), 16)
    assert caplog.records == []
    for _ in range(3):
        inputs.enter_clip(np.full((1, 3, 1, 16, 16), 255.0, np.float32), 16)
    (record,) = caplog.records
    assert record.levelname == "WARNING" and "up to 255" in record.message and "[-1, 1]" in record.message


def test_recipes_of_the_package_are_found_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("configs/tae/train/smoke.yaml") == read_recipe(ROOT / "configs/tae/train/smoke.yaml")
    with pytest.raises(InputError, match=r"no file 'other/smoke.yaml'"):
        read_recipe("other/smoke.yaml")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "configs/tae/train/smoke.yaml").write_text("max_steps: 7\n")
    assert read_recipe("configs/tae/train/smoke.yaml") == {"max_steps": 7}


def test_every_installed_command_is_a_script_too():
    commands = re.findall(r'^(mg-\w+) = "(.+):(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(commands) == 6
    for name, module, function in commands:
        assert callable(getattr(import_module(module), function))
        assert (ROOT / "scripts" / f"{name.removeprefix('mg-')}.py").is_file()
