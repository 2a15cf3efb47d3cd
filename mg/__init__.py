"""Video autoencoders for MindSpore: `mg.load` gives a model. Importing this changes nothing in the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from mg.models.autoencoder import Autoencoder


def load(path: Path | str | None = None, **options: Any) -> Autoencoder:
    """The model of a weights file, whatever its family; None: the one that ships with the package.

    options: those of `mg.models.families.load`, such as dtype, use_tile and sizes of tiles. Raises InputError.
    """
    from mg.models import families

    return families.load(path, **options)


def from_default(family: str | None = None, **options: Any) -> Autoencoder:
    """The model of a family whose weights ship with the package; None: of the default family.

    options: as in `load`. Raises InputError for a family that is unknown or ships none.
    """
    return load(None, family=family, **options)
