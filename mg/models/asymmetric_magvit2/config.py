"""What an AsymmetricMagVitV2 is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from mg.config import check, from_mapping, setting
from mg.errors import InputError
from mg.models.factors import check_factors

_MOST = 8192
_MOST_LEVELS = 12


@dataclass(frozen=True)
class AsymmetricMagVit2Config:
    """Sizes and factors; the defaults are those of the published weights with 4 latent channels.

    A diffusion model sees (z - shift_factor) * scaling_factor; no factors are published.
    """

    ch: int = setting(128, "channels of the first layer", 1, _MOST)
    ch_mult: tuple[int, ...] = setting((1, 2, 4, 4), "their multiple at each level; all but the last halve", 1, _MOST)
    num_res_blocks: int = setting(2, "residual blocks of an encoder's level, one more in decoders", 1, _MOST)
    z_channels: int = setting(4, "latent channels", 1, _MOST)
    norm_num_groups: int = setting(32, "groups of every GroupNorm", 1, _MOST)
    temporal_levels: tuple[int, ...] = setting((1, 2), "levels, counted from 0, that halve time as well", 0)
    scaling_factor: float | tuple[float, ...] = setting(1.0, "a number, or one a latent channel; not 0")
    shift_factor: float | tuple[float, ...] = setting(0.0, "a number, or one a latent channel")

    def __post_init__(self):
        check(self)
        check_factors(self, "z_channels")
        if not 1 <= len(self.ch_mult) <= _MOST_LEVELS:
            raise InputError(f"ch_mult has {len(self.ch_mult)} levels; give from 1 to {_MOST_LEVELS}")
        for channels in (self.ch, *self.channels):
            if channels % self.norm_num_groups:
                raise InputError(
                    f"norm_num_groups={self.norm_num_groups} must divide the channels of every level, but does not "
                    f"divide {channels}; change it, ch or ch_mult"
                )
        halving = range(len(self.ch_mult) - 1)
        if sorted({*self.temporal_levels} & {*halving}) != list(self.temporal_levels):
            raise InputError(
                f"temporal_levels={list(self.temporal_levels)} must be rising numbers of levels that halve, of "
                f"{list(halving)}; correct it"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, full resolution first."""
        return tuple(self.ch * multiple for multiple in self.ch_mult)

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column: every level but the last halves both."""
        return 2 ** (len(self.ch_mult) - 1)

    @property
    def time_compression(self) -> int:
        """Frames per latent frame after the first, which has one."""
        return 2 ** len(self.temporal_levels)

    @property
    def channels_in_latent(self) -> int:
        """Latent channels, by the name that all families have for it."""
        return self.z_channels

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> AsymmetricMagVit2Config:
        """Build from a mapping; missing keys take their defaults, unknown ones raise InputError."""
        return from_mapping(cls, mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        """The same as a read-only mapping."""
        return MappingProxyType(asdict(self))
