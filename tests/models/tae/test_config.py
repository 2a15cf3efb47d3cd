import pytest

from mg.errors import InputError
from mg.models.tae.config import TAEConfig
from mg.models.tae.tae import TAE_CONFIG, TemporalAutoencoder


def test_defaults_are_the_sd35_vae():
    assert TAE_CONFIG["ch"] == 128
    assert TAE_CONFIG["ch_mult"] == (1, 2, 4, 4)
    assert TAE_CONFIG["num_res_blocks"] == 2
    assert TAE_CONFIG["z_channels"] == 16
    assert TAE_CONFIG["norm_num_groups"] == 32
    assert TAE_CONFIG["scaling_factor"] == 1.5305
    assert TAE_CONFIG["shift_factor"] == 0.0609
    assert TAEConfig().compression == 8


def test_config_is_read_only_and_round_trips(nano):
    with pytest.raises(TypeError):
        TAE_CONFIG["ch"] = 1
    with pytest.raises(TypeError):
        nano.config["ch"] = 1
    assert TAEConfig.from_mapping(nano.config).as_mapping() == nano.config


def test_fractional_multipliers_give_whole_channels():
    assert TAEConfig(ch=96, ch_mult=(1, 1.5, 100 / 96), norm_num_groups=4).channels == (96, 144, 100)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"chanels": 8}, "chanels"),
        ({"double_z": True, "resolution": 256}, "double_z, resolution"),
        ({"ch": 0}, "ch=0"),
        ({"ch": 8.0}, "ch=8.0"),
        ({"num_res_blocks": True}, "num_res_blocks=True"),
        ({"ch_mult": ()}, "ch_mult"),
        ({"ch_mult": (1, "2")}, "ch_mult"),
        ({"ch_mult": (1, 1.3)}, "ch_mult"),
        ({"ch_mult": (1, -1)}, "ch_mult"),
        ({"norm_num_groups": 48}, "norm_num_groups=48"),
        ({"scaling_factor": 0}, "scaling_factor"),
        ({"scaling_factor": float("nan")}, "scaling_factor"),
        ({"shift_factor": "0"}, "shift_factor"),
        ({"norm_statistics": "batch"}, "norm_statistics='batch'"),
        ({"upsample_padding": "reflect"}, "upsample_padding='reflect'"),
    ],
)
def test_bad_keys_and_values_are_named(change, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        TemporalAutoencoder({**TAE_CONFIG, **change})


def test_config_must_be_a_mapping():
    with pytest.raises(InputError, match="mapping"):
        TemporalAutoencoder([("ch", 8)])
