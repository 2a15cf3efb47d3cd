"""What a TAE is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

from mg.checks import is_number, is_whole
from mg.errors import InputError

_MOST = 8192
_CHOICES = {
    "norm_statistics": ("frame", "clip"),
    "downsample_padding": ("end", "both"),
    "upsample_padding": ("replicate", "zeros"),
}


@dataclass(frozen=True)
class TAEConfig:
    """Sizes and conventions of a TAE; the defaults are the SD3.5 image VAE's.

    ch: channels of the first layer, ch_mult: their multiple at each level (may be fractional),
    num_res_blocks: residual blocks of a level in the encoder (the decoder has one more),
    z_channels: latent channels, norm_num_groups: groups of every GroupNorm,
    scaling_factor, shift_factor: a diffusion model sees (z - shift) * scaling,
    and three that upstream's weights need otherwise:
    norm_statistics: "frame", or "clip" for statistics over time too,
    downsample_padding: of the temporal downsampling, two copies of the last frame ("end"), or one of the first and one
    of the last ("both"),
    upsample_padding: of the temporal upsampling, "replicate" or "zeros".
    """

    ch: int = 128
    ch_mult: tuple[float, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 16
    norm_num_groups: int = 32
    scaling_factor: float = 1.5305
    shift_factor: float = 0.0609
    norm_statistics: str = "frame"
    downsample_padding: str = "end"
    upsample_padding: str = "replicate"

    def __post_init__(self):
        for field in ("ch", "num_res_blocks", "z_channels", "norm_num_groups"):
            value = getattr(self, field)
            if not is_whole(value) or not 1 <= value <= _MOST:
                raise InputError(f"config key {field}={value!r:.40} must be a whole number from 1 to {_MOST}")
        for field in ("scaling_factor", "shift_factor"):
            if not _is_number(getattr(self, field)):
                raise InputError(f"config key {field}={getattr(self, field)!r} must be a finite number")
        if self.scaling_factor == 0:
            raise InputError("config key scaling_factor=0 must not be zero: latents could not be unscaled")
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise InputError(f"config key {field}={getattr(self, field)!r} must be one of {', '.join(allowed)}")
        self._check_channels()

    def _check_channels(self):
        multiples = self.ch_mult
        if not isinstance(multiples, (list, tuple)) or not multiples or not all(map(_is_number, multiples)):
            raise InputError(f"config key ch_mult={multiples!r} must be a list of positive numbers, one for each level")
        # Whole multiples as int, so that a configuration reads the same wherever it was stored.
        object.__setattr__(self, "ch_mult", tuple(int(m) if m == int(m) else float(m) for m in multiples))
        for channels, multiple in zip(self.channels, self.ch_mult):
            if not 1 <= channels <= _MOST or abs(channels - self.ch * multiple) > 1e-6 * self.ch:
                raise InputError(
                    f"config key ch_mult={list(multiples)}: {multiple} * ch={self.ch} is no whole number of channels "
                    f"up to {_MOST}; change ch or the multiple"
                )
        for channels in (self.ch, *self.channels):
            if channels % self.norm_num_groups:
                raise InputError(
                    f"config key norm_num_groups={self.norm_num_groups} must divide the channels of every level "
                    f"({self.ch}, then {', '.join(map(str, self.channels))}); change it, ch or ch_mult"
                )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, full resolution first."""
        return tuple(round(self.ch * multiple) for multiple in self.ch_mult)

    @property
    def compression(self) -> int:
        """Frames, rows and columns per latent: every level but the last halves all three."""
        return 2 ** (len(self.ch_mult) - 1)

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column."""
        return self.compression

    @property
    def channels_in_latent(self) -> int:
        """Latent channels."""
        return self.z_channels

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> TAEConfig:
        """Build from a mapping; missing keys take their defaults, unknown keys raise InputError naming them."""
        if not isinstance(mapping, Mapping):
            raise InputError(f"config is a {type(mapping).__name__}, but must be a mapping such as TAE_CONFIG")
        known = [field.name for field in fields(cls)]
        unknown = [str(key) for key in mapping if key not in known]
        if unknown:
            raise InputError(f"unknown config keys: {', '.join(unknown)}; known are {', '.join(known)}. Remove them")
        return cls(**mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        """The same as a read-only mapping."""
        return MappingProxyType(asdict(self))


def _is_number(value: Any) -> bool:
    return is_number(value) and abs(value) < 1e30
