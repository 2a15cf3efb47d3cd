"""The families of autoencoders, by their names in weights files and recipes. The one place that knows them all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mg.errors import InputError
from mg.models import weights
from mg.models.asymmetric_magvit2.model import AsymmetricMagVit2
from mg.models.autoencoder import Autoencoder
from mg.models.image_vae.model import ImageVAE
from mg.models.names import find_file
from mg.models.o2_magvit2.model import O2Magvit2
from mg.models.opensora_vae.model import OpenSoraVAE
from mg.models.tae.tae import TemporalAutoencoder

_KINDS = (TemporalAutoencoder, ImageVAE, AsymmetricMagVit2, OpenSoraVAE, O2Magvit2)
FAMILIES: dict[str, type[Autoencoder]] = {kind.family: kind for kind in _KINDS}
DEFAULT = TemporalAutoencoder.family


def load(
    path: Path | str | None = None,
    dtype: str = "auto",
    use_tile: bool = True,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    verify: bool = True,
    **sizes: Any,
) -> Autoencoder:
    """The model of a weights file, by what the file says of itself: its family and its configuration.

    path: a file that `save` or a tool of this package wrote, or what a family reads as it is, such as the folder of an
    image VAE in diffusers' format; None takes the weights that ship with the package.
    family: the one that the file must be of, if that matters; the one whose default is meant, without a path.
    config: of a file without one. dtype, use_tile, verify, sizes: see `mg.models.autoencoder.Autoencoder`.
    Raises InputError for a file that is missing, damaged, of another family or of none.
    """
    options = {"config": config, "dtype": dtype, "use_tile": use_tile, "verify": verify, **sizes}
    if path is None:
        kind = family_of(family or DEFAULT)
        if kind.default_weights is None:
            raise InputError(f"no weights of the family {kind.family} ship with the package; name a file")
        return kind(pretrained=kind.default_weights, **options)
    file = weights.TensorFile(find_file(path), verify)
    kind = _kind_of(file, family)
    if family is not None and kind.family != family:
        raise InputError(f"'{path}' holds a model of the family {kind.family}, but {family} is asked for; name another")
    return kind(pretrained=file, **options)


def build(family: str, config: Mapping[str, Any] | None = None, dtype: str = "auto") -> Autoencoder:
    """A fresh model of a family, with random weights. config: None takes the family's default sizes."""
    return family_of(family)(config, dtype=dtype)


def family_of(name: str) -> type[Autoencoder]:
    """The class of a family. Raises InputError for a name that is none."""
    if name not in FAMILIES:
        raise InputError(f"there is no family {name!r}; use one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _kind_of(file: weights.TensorFile, wanted: str | None) -> type[Autoencoder]:
    """The class that a file is of: by its header, or by whoever reads such names."""
    if file.header:
        name = file.header.get("family")
        if name not in FAMILIES:
            raise InputError(f"'{file.path}' holds '{name}', which is no family of models; name a file of weights")
        return FAMILIES[name]
    for kind in FAMILIES.values():
        if kind.reads(file):
            return kind
    if wanted is not None:
        return family_of(wanted)
    raise InputError(
        f"'{file.path}' carries no header of ours, and no family has tensors of such names; "
        "convert it with tools/convert_checkpoint.py, or name the family and its configuration"
    )
