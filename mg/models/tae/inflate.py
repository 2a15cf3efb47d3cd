"""Two-dimensional image VAE -> TAE that gives exactly what the image VAE gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mg.errors import InputError
from mg.models import weights
from mg.models.image_vae.read import ForeignImageVAE, open_foreign
from mg.models.image_vae.stored import factors_of, require_same_sizes
from mg.models.names import find_file, to_ours
from mg.models.sizes import Sizes, sizes_of
from mg.models.tae.config import TAEConfig
from mg.models.tae.names import IMAGE_VAE, dialect_of, is_temporal
from mg.models.tae.tae import TemporalAutoencoder

# What to do with a file that is no image VAE, by whose tensor names it has.
_REMEDIES = {
    "mg": "it is a TAE already; load it with TemporalAutoencoder(pretrained=...)",
    "moviegen": "it is upstream's TAE; use tools/convert_checkpoint.py",
}


@dataclass(frozen=True)
class Inflation:
    """A TAE made from an image VAE, and what was done to make it."""

    tae: TemporalAutoencoder
    source: Path
    tensors_read: int
    tensors_ignored: int
    tensors_at_identity: int
    origins: dict[str, str]


def inflate(source: str | Path) -> Inflation:
    """Read an image VAE and build the TAE that starts from it.

    source: see `mg.models.image_vae.read.open_foreign`. Sizes come from the tensors' shapes; norm groups, scaling and
    shift from a `config.json` beside the file, else SD3.5's.
    Raises InputError naming what is missing, unexpected or of another shape.
    """
    file = weights.TensorFile(find_file(source))
    if (dialect := dialect_of(file)) in _REMEDIES:
        raise InputError(f"'{file.path}' is not an image VAE: {_REMEDIES[dialect]}")
    image = open_foreign(file)
    _require_no_quant_conv(image)
    tensors = {ours: image[theirs] for ours, theirs in to_ours(image, IMAGE_VAE).items()}
    sizes = sizes_of(tensors, file.path, ".spatial")
    require_same_sizes(image.stored, sizes, file.path)
    factors, origins = _factors(image.stored)
    tae = TemporalAutoencoder(TAEConfig(**as_keys(sizes), **factors))
    parameters = list(weights.named_parameters(tae))
    weights.assign(tae, [name for name in parameters if not is_temporal(name)], tensors, file.path)
    return Inflation(
        tae=tae,
        source=file.path,
        tensors_read=len(tensors),
        tensors_ignored=len(file) - len(tensors),
        tensors_at_identity=sum(map(is_temporal, parameters)),
        origins=origins,
    )


def as_keys(sizes: Sizes) -> dict[str, Any]:
    """Sizes as keys of a TAE's configuration."""
    return {
        "ch": sizes.first,
        "ch_mult": tuple(width / sizes.first for width in sizes.channels),
        "num_res_blocks": sizes.blocks,
        "z_channels": sizes.latent_channels,
    }


def _factors(stored: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Norm groups, scaling and shift as keys of a TAE's configuration, and where each of them comes from."""
    scaling, shift = factors_of(stored, (TAEConfig.scaling_factor, TAEConfig.shift_factor))
    groups = stored.get("norm_num_groups")
    given = {
        "norm_num_groups": groups is not None,
        "scaling_factor": stored.get("scaling_factor") is not None,
        "shift_factor": stored.get("scaling_factor") is not None or "shift_factor" in stored,
    }
    factors = {
        "norm_num_groups": TAEConfig.norm_num_groups if groups is None else groups,
        "scaling_factor": scaling,
        "shift_factor": shift,
    }
    return factors, {key: "config.json" if found else "SD3.5's default" for key, found in given.items()}


def _require_no_quant_conv(image: ForeignImageVAE) -> None:
    found = [theirs for ours, theirs in image.theirs.items() if "quant_conv." in ours]
    if found:
        raise InputError(
            f"'{image.path}' cannot become a TAE: {len(found)} unexpected ({', '.join(found)}). A TAE has no quant "
            "convolutions, as VAEs of SD 1.5 and SDXL have; inflate one of SD3's layout"
        )
