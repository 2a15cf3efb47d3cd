"""The one place that reads image VAEs of other programs: diffusers' folders and files, single-file checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mg.errors import InputError
from mg.models.image_vae.names import LEFT_OVER, PREFIX, RULES, dialect_of
from mg.models.image_vae.stored import read_config_json
from mg.models.names import below, find_file, to_ours
from mg.models.weights import TensorFile

FAMILY = "image_vae"


class ForeignImageVAE(Mapping):
    """An image VAE as it lies on a disk: a mapping from our names to fp32 arrays, read one at a time.

    path: its file. theirs: {our name: its name in the file}. stored: its config.json; empty without one.
    Attention projections are matrices, whatever the file has.
    """

    def __init__(self, file: TensorFile, theirs: Mapping[str, str], stored: Mapping[str, Any]):
        self.path, self.theirs, self.stored = file.path, theirs, stored
        self._file = file

    def __getitem__(self, name: str) -> np.ndarray:
        return as_matrix(name, self._file[self.theirs[name]])

    def __contains__(self, name: object) -> bool:
        return name in self.theirs

    def __iter__(self) -> Iterator[str]:
        return iter(self.theirs)

    def __len__(self) -> int:
        return len(self.theirs)


def can_read(names: Collection[str]) -> bool:
    """Whether a file with tensors of these names is an image VAE that `open_foreign` understands."""
    return dialect_of(below(PREFIX, names)) in RULES


def open_foreign(source: TensorFile | Path | str) -> ForeignImageVAE:
    """Find out what an image VAE's file holds.

    source: a file with diffusers' names, the folder that holds it, an SD single-file checkpoint, of whose tensors only
    those under `first_stage_model.` are read, or a file of this family that was saved here.
    Raises InputError for anything else, and for a config.json beside it that is not an AutoencoderKL's.
    """
    file = source if isinstance(source, TensorFile) else TensorFile(find_file(source))
    if file.header.get("family") == FAMILY:
        return ForeignImageVAE(file, {name: name for name in file}, dict(file.header.get("config") or {}))
    whole = below(PREFIX, file)
    dialect = dialect_of(whole)
    if dialect not in RULES:
        raise InputError(f"'{file.path}' is not an image VAE: {_what_it_is(file)}")
    names = [name for name in whole if not name.startswith(LEFT_OVER)]
    theirs = {ours: whole[name] for ours, name in to_ours(names, RULES[dialect]).items()}
    return ForeignImageVAE(file, theirs, read_config_json(file.path.with_name("config.json")))


def as_matrix(name: str, tensor: np.ndarray) -> np.ndarray:
    """Attention projections stored as 1x1 convolutions, (C, C, 1, 1), become matrices."""
    if "_attention." in name and tensor.ndim == 4 and tensor.shape[2:] == (1, 1):
        return tensor[:, :, 0, 0]
    return tensor


def _what_it_is(file: TensorFile) -> str:
    if "family" in file.header:
        return f"it holds a model of the family {file.header['family']!r}; load it as that"
    return (
        f"none of its {len(file)} tensors has a name that an AutoencoderKL of diffusers or of SD's original code has "
        f"({', '.join([*file][:2])}, ...); tools/convert_checkpoint.py reads weights of other models"
    )
