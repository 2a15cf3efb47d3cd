"""What a weights file says of the model it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mg.errors import InputError
from mg.models.tae.config import TAEConfig
from mg.models.tae.names import dialect_of
from mg.models.weights import TensorFile

# What to do with a file that carries no configuration, by whose tensor names it has.
_REMEDIES = {
    "mg": "pass the config= it was trained with",
    "diffusers": "it is an image VAE; inflate it first with tools/inflate_vae_to_tae.py",
    "ldm": "it is an image VAE; inflate it first with tools/inflate_vae_to_tae.py",
    "moviegen": "it is upstream's TAE; convert it first with tools/convert_checkpoint.py",
    "unknown": "its tensor names are not a TAE's",
}


def resolve_config(config: Mapping[str, Any] | TAEConfig | None, file: TensorFile | None) -> TAEConfig:
    """The configuration to build: the caller's, the file's, or the default.

    Raises InputError when the caller's and the file's disagree, or the file has none and the caller gives none.
    """
    if config is not None and not isinstance(config, TAEConfig):
        config = TAEConfig.from_mapping(config)
    if file is None:
        return config or TAEConfig()
    stored = _config_of(file)
    if stored is None and config is None:
        raise InputError(f"'{file.path}' carries no configuration: {_REMEDIES[dialect_of(file)]}")
    if stored is None or config is None:
        return stored or config
    given, kept = config.as_mapping(), stored.as_mapping()
    differing = [f"{key} is {given[key]} but {kept[key]} in the file" for key in given if given[key] != kept[key]]
    if differing:
        raise InputError(
            f"config disagrees with '{file.path}': {'; '.join(differing)}. Leave config out to use the file's"
        )
    return config


def _config_of(file: TensorFile) -> TAEConfig | None:
    if not file.header:
        return None
    family = file.header.get("family")
    if family != "tae":
        raise InputError(f"'{file.path}' holds a model of the family {family!r}, not a TAE; use that family's class")
    try:
        return TAEConfig.from_mapping(file.header.get("config"))
    except InputError as error:
        raise InputError(f"'{file.path}' carries a configuration that cannot be used: {error}") from None
