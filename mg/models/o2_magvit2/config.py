"""What an O2-MAGVIT2 tokenizer is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from mg import config
from mg.config import setting
from mg.errors import InputError

_SIZES = (1, 8192)
_MOST_BITS = 30  # integers of codes are int32
_MOST_LEVELS = 12


@dataclass(frozen=True)
class O2Magvit2Config:
    """Sizes of a tokenizer, under the names of the original; the defaults are the published model's."""

    filters: int = setting(128, "channels of the first layer", *_SIZES)
    channel_multipliers: tuple[int, ...] = setting((1, 1, 2, 2, 4), "their multiple at each level", *_SIZES)
    num_res_blocks: int = setting(4, "residual blocks of a level", *_SIZES)
    temporal_downsample: tuple[bool, ...] = setting(
        (False, False, True, True), "for each level but the last: whether it halves time too, as it halves space"
    )
    token_size: int = setting(18, "bits of a token", 1, _MOST_BITS)
    norm_groups: int = setting(32, "groups of every norm", *_SIZES)
    image_model: bool = setting(False, "whether every frame is coded alone, by 2D convolutions")

    def __post_init__(self):
        config.check(self)
        levels = len(self.channel_multipliers)
        if not 1 <= levels <= _MOST_LEVELS or len(self.temporal_downsample) != levels - 1:
            raise InputError(
                f"temporal_downsample has {len(self.temporal_downsample)} values, but must have one for each of the "
                f"{levels} channel_multipliers but the last, and there must be 1 to {_MOST_LEVELS} of these; correct it"
            )
        if self.image_model and any(self.temporal_downsample):
            raise InputError(
                "temporal_downsample halves time, but image_model=True codes every frame alone; set it to "
                f"{[False] * (levels - 1)}"
            )
        odd = [channels for channels in self.channels if channels % self.norm_groups]
        if odd:
            raise InputError(
                f"norm_groups={self.norm_groups} must divide the channels of every level, but does not divide "
                f"{odd[0]}; change it, filters or channel_multipliers"
            )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, full resolution first."""
        return tuple(self.filters * multiple for multiple in self.channel_multipliers)

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column: every level but the last halves both."""
        return 2 ** len(self.temporal_downsample)

    @property
    def time_compression(self) -> int:
        """Frames of every latent frame but the first."""
        return 2 ** sum(self.temporal_downsample)

    @property
    def channels_in_latent(self) -> int:
        """Latent channels: bits."""
        return self.token_size

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> O2Magvit2Config:
        """Build from a mapping; missing keys take their defaults, unknown ones raise InputError."""
        return config.from_mapping(cls, mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        """The same as a read-only mapping."""
        return MappingProxyType(asdict(self))
