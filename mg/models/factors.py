"""Factors of a configuration, by which a diffusion model sees latents: what they may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mg.errors import InputError


def check_factors(config: Any, field: str) -> None:
    """Raise InputError unless each is a number, or one for each latent channel, and no scaling is zero.

    config: has `scaling_factor`, `shift_factor`, and the number of latent channels in `field`.
    """
    channels = getattr(config, field)
    for name in ("scaling_factor", "shift_factor"):
        value = getattr(config, name)
        several = isinstance(value, Sequence)
        if several and len(value) != channels:
            raise InputError(
                f"{name} has {len(value)} numbers, but must be one number, or one for each of the {field}={channels} "
                "latent channels; correct it"
            )
        if name == "scaling_factor" and 0 in (value if several else (value,)):
            raise InputError(f"scaling_factor={value} must not be zero: latents could not be unscaled; correct it")
