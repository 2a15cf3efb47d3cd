"""Which model the scripts of this folder are about, and what they check of their flags."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms

from mg.checks import require_whole
from mg.config import read_recipe
from mg.errors import InputError
from mg.files import make_folder
from mg.models import families
from mg.models.autoencoder import Autoencoder


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Model")
    group.add_argument("--ckpt_path", metavar="PATH", help="weights of any family (default: random ones)")
    group.add_argument(
        "--model", default=families.DEFAULT, choices=families.FAMILIES, help="without weights (default: %(default)s)"
    )
    group.add_argument("--model_config", metavar="PATH", help="YAML file of its sizes (default: the family's own)")


def given_model(args: argparse.Namespace, **sizes: Any) -> Autoencoder:
    """The model in fp32, with weights that are the same in every run. sizes: of its tiles."""
    if args.ckpt_path is not None and args.model_config is not None:
        raise InputError("--ckpt_path has sizes of its own; leave --model_config out")
    if args.ckpt_path is not None:
        return families.load(args.ckpt_path, "fp32", **sizes)
    config = None if args.model_config is None else read_recipe(args.model_config)
    ms.set_seed(0)
    model = families.build(args.model, config, "fp32")
    model.tiles = model.tiles.but(**sizes)
    return model


def check_clips(model: Autoencoder, frames: Iterable[int], size: Sequence[int]) -> None:
    """Refuse numbers of frames and a --size, the side or height and width, that no clip can have."""
    for count in frames:
        require_whole("frames", count, 1)
    if len(size) > 2:
        raise InputError(f"size={list(size)} has {len(size)} values; give the side, or height and width")
    for side in size:
        require_whole("size", side, model.min_size)


def check_output(path: str) -> None:
    """Refuse a place where no file can be written."""
    if Path(path).is_dir():
        raise InputError(f"output_path '{path}' is a folder; name a JSON file")
    make_folder(Path(path).parent)
