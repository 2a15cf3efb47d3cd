"""Open-Sora's weights, or an image VAE alone, to a model of ours that can be saved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mg.errors import InputError
from mg.models import weights
from mg.models.image_vae.read import open_foreign as open_image
from mg.models.image_vae.stored import config_of
from mg.models.opensora_vae.config import OpenSoraVAEConfig
from mg.models.opensora_vae.model import OpenSoraVAE
from mg.models.opensora_vae.names import inserted, is_temporal, is_temporal_vae, parts_of
from mg.models.opensora_vae.read import open_foreign


def reads(names: Collection[str]) -> bool:
    """Whether a checkpoint with tensors of these names holds a temporal VAE of Open-Sora's."""
    return is_temporal_vae(parts_of(names)[1])


def convert(source: weights.TensorFile | Path | str, spatial: Path | str | None = None) -> OpenSoraVAE:
    """Read a published file, or a temporal VAE's and an image VAE's: see `mg.models.opensora_vae.read.open_foreign`."""
    foreign = open_foreign(source, spatial)
    model = OpenSoraVAE(foreign.config)
    weights.assign(model, list(weights.named_parameters(model)), foreign, foreign.path)
    return model


def start(spatial: Path | str, sizes: Mapping[str, Any] | None = None) -> OpenSoraVAE:
    """A model of a trained image VAE and of a temporal VAE that knows nothing yet.

    spatial: in any form that the family of image VAEs reads. sizes: the configuration's keys that are not the image
    VAE's; those left out have their defaults, but for as many channels as the image VAE's latents have.
    """
    image = open_image(spatial)
    own = config_of(image, image.stored, image.path)
    taken = {
        "spatial_channels": own.block_out_channels,
        "spatial_blocks": own.layers_per_block,
        "spatial_latent": own.latent_channels,
        "spatial_groups": own.norm_num_groups,
        "spatial_quant_convs": own.use_quant_conv,
    }
    if own.use_quant_conv != own.use_post_quant_conv:
        raise InputError(f"'{image.path}' has one of two 1x1 convolutions at its latents; both or none are known here")
    if own.latent_channels != OpenSoraVAEConfig.z_channels:
        taken.update(z_channels=own.latent_channels, scaling_factor=1.0, shift_factor=0.0)
    given = dict(sizes or {})
    differing = [
        key for key in given if key in taken and key.startswith("spatial") and given[key] != _listed(taken[key])
    ]
    if differing:
        raise InputError(
            f"{differing[0]}={given[differing[0]]!r}, but '{image.path}' says {taken[differing[0]]!r}; leave it out"
        )
    model = OpenSoraVAE(OpenSoraVAEConfig.from_mapping({**taken, **given}))
    names = [name for name in weights.named_parameters(model) if not is_temporal(name)]
    weights.assign(model, names, {inserted(name): image[name] for name in image}, image.path)
    return model


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
