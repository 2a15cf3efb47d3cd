"""Factors of a configuration, by which a diffusion model sees latents: what they may be."""

from __future__ import annotations

from collections.abc import Sequence

from mg.errors import InputError


def check_factors(scaling: float | Sequence[float], shift: float | Sequence[float], channels: int) -> None:
    """Raise InputError unless each is a number, or one for each latent channel, and no scaling is zero."""
    for name, value in (("scaling_factor", scaling), ("shift_factor", shift)):
        several = isinstance(value, Sequence)
        if several and len(value) != channels:
            raise InputError(
                f"{name} has {len(value)} numbers, but must be one number, or one for each of the {channels} latent "
                "channels; correct it"
            )
        if name == "scaling_factor" and 0 in (value if several else (value,)):
            raise InputError(f"scaling_factor={value} must not be zero: latents could not be unscaled; correct it")
