"""What a TAE is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from mg.config import check, from_mapping, setting
from mg.errors import InputError
from mg.models.image_vae.config import require_levels

_MOST = 8192


@dataclass(frozen=True)
class TAEConfig:
    """Sizes and conventions of a TAE; the defaults are the SD3.5 image VAE's."""

    ch: int = setting(128, "channels of the first layer", least=1, most=_MOST)
    ch_mult: tuple[float, ...] = setting((1, 2, 4, 4), "their multiple at each level, whole or not")
    num_res_blocks: int = setting(2, "residual blocks of an encoder's level, one more in decoders", least=1, most=_MOST)
    z_channels: int = setting(16, "latent channels", least=1, most=_MOST)
    norm_num_groups: int = setting(32, "groups of every GroupNorm", least=1, most=_MOST)
    scaling_factor: float = setting(1.5305, "a diffusion model sees (z - shift) * scaling")
    shift_factor: float = setting(0.0609, "see scaling_factor")
    norm_statistics: str = setting("frame", "what a norm's statistics are of", choices=("frame", "clip"))
    downsample_padding: str = setting("end", "where frames are repeated before T is halved", choices=("end", "both"))
    upsample_padding: str = setting("replicate", "of the temporal upsampling", choices=("replicate", "zeros"))

    def __post_init__(self):
        check(self)
        if self.scaling_factor == 0:
            raise InputError("config key scaling_factor=0 must not be zero: latents could not be unscaled")
        self._check_channels()

    def _check_channels(self):
        multiples = self.ch_mult
        if not multiples:
            raise InputError(f"config key ch_mult={multiples!r} must be a list of positive numbers, one for each level")
        require_levels("ch_mult", multiples)
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
        return from_mapping(cls, mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        """The same as a read-only mapping."""
        return MappingProxyType(asdict(self))
