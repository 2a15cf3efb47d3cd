"""Open-Sora's published weights, as they are: both parts in one file, or each in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mg.errors import InputError
from mg.models.image_vae.names import RULES
from mg.models.image_vae.read import ForeignImageVAE, as_matrix
from mg.models.image_vae.read import open_foreign as open_image
from mg.models.names import find_file, to_ours
from mg.models.opensora_vae.config import OpenSoraVAEConfig
from mg.models.opensora_vae.names import FACTORS, SPATIAL, TEMPORAL, TEMPORAL_RULES, inserted, is_temporal_vae, parts_of
from mg.models.sizes import sizes_of
from mg.models.weights import TensorFile

_CHANNEL_TO_TIME = ".upsample.conv."


@dataclass(frozen=True)
class Tensor:
    """Where a tensor of ours is: its file, its name there, and its name in the part that it is of."""

    file: Mapping[str, np.ndarray]
    name: str
    part: str


class ForeignVAE(Mapping):
    """A model as it lies on a disk: a mapping from our names to fp32 arrays, read one at a time, with its `config`.

    Where channels become time, ours are in the order (time, channel), so that nothing is transposed in the networks;
    Open-Sora's are in the order (channel, time).
    """

    def __init__(self, tensors: Mapping[str, Tensor], path: Path, factors: tuple[object, object] | None):
        self._tensors, self.path = tensors, path
        self.config = _config_of(self, path, factors)

    def __getitem__(self, name: str) -> np.ndarray:
        found = self._tensors[name]
        tensor = as_matrix(name, found.file[found.name])
        return _time_slowest(tensor) if _CHANNEL_TO_TIME in name else tensor

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def open_foreign(source: TensorFile | Path | str, spatial: TensorFile | Path | str | None = None) -> ForeignVAE:
    """Find out what a file of Open-Sora's holds.

    source: a published file, or the folder that holds it; or a temporal VAE's, and then spatial: an image VAE's, in
    any form that the family of image VAEs reads. Raises InputError for anything else.
    """
    file = source if isinstance(source, TensorFile) else TensorFile(find_file(source))
    inside, temporal = parts_of([name for name in file if name not in FACTORS])
    if not is_temporal_vae(temporal):
        raise InputError(f"'{file.path}' has no temporal VAE: it has no tensor {TEMPORAL}encoder.block_res_blocks...")
    if (spatial is None) != bool(inside):
        what = "has an image VAE of its own; leave --spatial out" if inside else "has no image VAE; give --spatial"
        raise InputError(f"'{file.path}' {what}")
    strange = [name for name in file if name not in FACTORS and not _is_part(name, inside)]
    if inside and strange:
        raise InputError(f"'{file.path}' has {len(strange)} tensors of neither part ({strange[0]}, ...)")
    tensors = _spatial_tensors(file, inside) if inside else _of_image(open_image(spatial))
    for ours, theirs in to_ours(list(temporal), TEMPORAL_RULES).items():
        tensors[ours] = Tensor(file, temporal[theirs], theirs)
    return ForeignVAE(tensors, file.path, _factors(file))


def _is_part(name: str, inside: Mapping[str, str]) -> bool:
    return name.startswith(TEMPORAL) or (bool(inside) and name.startswith(SPATIAL))


def _spatial_tensors(file: TensorFile, inside: Mapping[str, str]) -> dict[str, Tensor]:
    renamed = to_ours(list(inside), RULES["diffusers"])
    return {inserted(ours): Tensor(file, inside[theirs], theirs) for ours, theirs in renamed.items()}


def _of_image(image: ForeignImageVAE) -> dict[str, Tensor]:
    return {inserted(name): Tensor(image, name, name) for name in image}


def _factors(file: TensorFile) -> tuple[object, object] | None:
    """(scaling, shift) that a file carries, or None. Its scale is what is divided by."""
    missing = [name for name in FACTORS if name not in file]
    if len(missing) == len(FACTORS):
        return None
    if missing:
        raise InputError(f"'{file.path}' has no tensor {missing[0]}, but {FACTORS[missing == FACTORS[:1]]}; it is cut")
    scale, shift = (np.ravel(file[name]).astype(np.float64) for name in FACTORS)
    if not (np.isfinite(scale).all() and scale.all()):
        raise InputError(f"'{file.path}' has a scale of {scale.tolist()}, by which latents cannot be divided")
    return tuple((1.0 / scale).tolist()), tuple(shift.tolist())


def _time_slowest(tensor: np.ndarray) -> np.ndarray:
    """(2*C, ...) whose first axis is (C, 2) -> the same as (2, C)."""
    return np.ascontiguousarray(tensor.reshape(-1, 2, *tensor.shape[1:]).swapaxes(0, 1)).reshape(tensor.shape)


def _config_of(tensors: ForeignVAE, path: Path, factors: tuple[object, object] | None) -> OpenSoraVAEConfig:
    """Sizes by the shapes of tensors; groups are the published ones, 32, which no tensor tells."""
    spatial = sizes_of(_Inside(tensors, "spatial"), path)
    temporal = sizes_of(_Inside(tensors, "temporal"), path)
    z_channels = temporal.latent_channels
    factors = factors or (1.0, 0.0)
    return OpenSoraVAEConfig(
        spatial_channels=spatial.channels,
        spatial_blocks=spatial.blocks,
        spatial_latent=spatial.latent_channels,
        spatial_quant_convs="encoder.spatial.quant_conv.weight" in tensors,
        temporal_channels=temporal.first,
        temporal_multiples=temporal.multiples(path),
        temporal_blocks=temporal.blocks,
        halved_levels=tuple(
            level
            for level in range(len(temporal.channels))
            if f"encoder.temporal.levels.{level}.downsample.weight" in tensors
        ),
        z_channels=z_channels,
        scaling_factor=factors[0],
        shift_factor=factors[1],
    )


class _Inside(Mapping):
    """One part of a model, under the names that a model of that part alone would have."""

    def __init__(self, tensors: Mapping[str, np.ndarray], part: str):
        self.names = {name.replace(f".{part}.", ".", 1): name for name in tensors if f".{part}." in name}
        self.tensors = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[self.names[name]]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)
