"""Settings: what their classes take and refuse, and what comes back."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass, make_dataclass
from pathlib import Path

import pytest
import yaml
from made_up import Place, Sizes, parsed

from mg.cli import add_flags
from mg.config import (
    as_mapping,
    build,
    check,
    defaults,
    from_mapping,
    read_recipe,
    setting,
    write_recipe,
)
from mg.data.config import DataConfig
from mg.errors import InputError
from mg.losses.objective import ObjectiveConfig


def test_two_classes_with_one_name_are_a_mistake():
    for act in (lambda: add_flags(argparse.ArgumentParser(), Sizes, Sizes), lambda: build((Sizes, Sizes), {})):
        with pytest.raises(ValueError, match=r"Sizes\.rate"):
            act()


def test_later_mappings_win_and_flags_are_the_last():
    (sizes,) = build((Sizes,), {"rate": 1e-6, "steps": 7, "side": [4, 8]}, parsed("--steps", "9"))
    assert sizes == Sizes(rate=1e-6, steps=9, side=(4, 8))
    (sizes,) = build((Sizes,), {"rate": 1, "betas": [0, 1e-1], "buckets": []})
    assert type(sizes.rate) is float and sizes.betas == (0.0, 0.1) and sizes.buckets == ()


@pytest.mark.parametrize(
    "given, wanted",
    [
        ({"rate": "fast"}, "rate='fast' must be a number"),
        ({"rate": True}, "rate=True must be a number"),
        ({"rate": None}, "rate=None must be a number"),
        ({"rate": 10**400}, "must be a number"),
        ({"rate": "1e-6"}, "rate='1e-6' must be a number of at least 0"),
        ({"steps": 1.0}, "steps=1.0 must be a whole number from 1 to 1000; correct it, or leave it out for 10"),
        ({"steps": True}, "steps=True must be a whole number"),
        ({"fast": "True"}, "fast='True' must be True or False"),
        ({"fast": 1}, "fast=1 must be True or False"),
        ({"name": 5}, "name=5 must be text"),
        ({"limit": "x"}, "limit='x' must be a number or None"),
        ({"side": [1, 2, 3]}, "of at least 1 or a list of 2 values, each a whole number of at least 1"),
        ({"buckets": 9}, "buckets=9 must be a list of values, each a whole number"),
        ({"buckets": [1, 2.5]}, "must be a list of values, each a whole number"),
        ({"name": {"nested": 1}}, "must be text"),
        ({"weight": [0, 1]}, "of at least 0 or a list: a number of at least 0, a number of at least 0, a whole number"),
        ({"sizes": [192, 256]}, "must be a list of values, each a list of 2 values, each a whole number"),
    ],
)
def test_values_of_another_type_are_refused(given, wanted):
    with pytest.raises(InputError, match="correct it") as error:
        build((Sizes,), given)
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"steps": 0}, "steps=0 must be a whole number from 1 to 1000; correct it, or leave it out for 10"),
        ({"steps": 1001}, "steps=1001 must be a whole number from 1 to 1000; correct it, or leave it out for 10"),
        ({"betas": (0.5, 1.5)}, "betas=(0.5, 1.5) must be a list of 2 values, each a number from 0 to 1; correct it"),
        ({"rate": math.nan}, "rate=nan must be finite, and no larger than 1e+30; correct it"),
        ({"limit": -math.inf}, "limit=-inf must be finite"),
        ({"factors": [1, 1e31]}, "factors=1e+31 must be finite"),
        ({"kind": "slo"}, "kind='slo' is unknown; use one of fast, slow"),
        ({"kind": 5}, "kind=5 is unknown; use one of fast, slow"),
        ({"name": " "}, "name is an empty name; name one, or leave it out"),
        ({"patterns": ["a", ""]}, "patterns is an empty name"),
        ({"sizes": [(16, 15)]}, "each a whole number of at least 16"),
    ],
)
def test_an_error_names_field_value_rule_and_remedy(given, message):
    for make in (lambda: Sizes(**given), lambda: build((Sizes,), given)):
        with pytest.raises(InputError) as error:
            make()
        assert str(error.value).startswith(message) or message in str(error.value)
    with pytest.raises(InputError) as error:
        from_mapping(Sizes, given, "'a.safetensors'")
    assert str(error.value).startswith("'a.safetensors': ") and message in str(error.value)


def test_values_take_one_form():
    sizes = Sizes(rate=1, side=[4, 8], name=Path("a"), sizes=[[16, 32]], factors=[1, 2], weight=2)
    assert (type(sizes.rate), sizes.side, sizes.name, sizes.sizes) == (float, (4, 8), "a", ((16, 32),))
    assert sizes.factors == (1.0, 2.0) and sizes.weight == 2.0
    assert as_mapping(sizes)["sizes"] == [[16, 32]]
    assert defaults(Sizes, Place) == as_mapping(Sizes())


def test_a_class_made_on_the_way_is_checked_like_others():
    fields = [("weight", "float | tuple[float, float, float]", setting(0.0, "of a term", 0))]
    made = make_dataclass("Terms", fields, frozen=True, namespace={"__post_init__": check, "__doc__": "Terms."})
    assert build((made,), parsed("--weight", "0", "1", "5", classes=(made,))) == (made((0.0, 1.0, 5.0)),)
    with pytest.raises(InputError, match="weight=-1 must be a number of at least 0 or a list of 3"):
        made(-1)


def test_choices_and_defaults_may_be_found_when_they_are_needed():
    known = ["a"]

    @dataclass(frozen=True)
    class Late:
        model: str = setting(lambda: known[0], "which", choices=lambda: tuple(known))
        __post_init__ = check

    assert Late().model == "a" and defaults(Late) == {"model": "a"}
    with pytest.raises(InputError, match=r"use one of a$"):
        Late("b")
    known.append("b")
    assert Late("b").model == "b"


def test_an_annotation_that_no_setting_may_have_is_a_mistake_in_the_program():
    for annotation in ("list[int]", "tuple[]", "dict", 5):
        with pytest.raises(TypeError, match="annotation"):
            make_dataclass("Wrong", [("x", annotation, 1)], namespace={"__post_init__": check})()


def test_a_mapping_of_a_file_is_strict():
    assert from_mapping(Sizes, {"steps": 3}) == Sizes(steps=3)
    with pytest.raises(InputError, match=r"^header of x is a list, but must be a mapping"):
        from_mapping(Sizes, [("steps", 3)], "header of x")
    with pytest.raises(InputError, match=r"^config: unknown key stepz, 5; did you mean steps"):
        from_mapping(Sizes, {"stepz": 3, 5: 1})
    with pytest.raises(InputError, match=r"^config: output_path must be given"):
        from_mapping(Place, {})


def test_unknown_and_missing_names_are_refused():
    with pytest.raises(InputError, match="unknown key step, blob; did you mean steps"):
        build((Sizes,), {"step": 1, "rate": 1, "blob": 2})
    with pytest.raises(InputError, match="output_path must be given: there is no default"):
        build((Sizes, Place), {"steps": 1})


def test_each_class_checks_its_own_values():
    with pytest.raises(InputError, match="csv_path is given without video_folder"):
        build((DataConfig, ObjectiveConfig), {"csv_path": "a.csv"})


def test_real_configs_come_back_from_json_and_from_a_recipe(tmp_path):
    classes = (DataConfig, ObjectiveConfig, Sizes)
    flags = "--video_folder é --image_size 64 --kl_weight 1e-7 --use_outlier_penalty_loss True --frame_buckets 1 9"
    instances = build(classes, parsed(*flags.split(), classes=classes))
    assert instances[0].image_size == (64, 64) and instances[1].use_outlier_penalty_loss
    mapping = as_mapping(*instances)
    assert build(classes, json.loads(json.dumps(mapping))) == instances
    write_recipe(tmp_path / "out" / "config.yaml", mapping)
    read = read_recipe(tmp_path / "out" / "config.yaml")
    assert build(classes, read) == instances and list(read) == list(mapping)
    assert yaml.safe_load((tmp_path / "out" / "config.yaml").read_text("utf-8"))["frame_buckets"] == [1, 9]
