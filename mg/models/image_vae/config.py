"""What an image VAE is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from mg import config
from mg.config import setting
from mg.errors import InputError
from mg.models.factors import check_factors

_SIZES = (1, 8192)
_MOST_LEVELS = 12  # the largest frames would be 8 latent pixels wide


@dataclass(frozen=True)
class ImageVAEConfig:
    """Sizes and factors of an image VAE, under diffusers' names; the defaults are the SD3.5 VAE's.

    A diffusion model sees (z - shift_factor) * scaling_factor.
    """

    block_out_channels: tuple[int, ...] = setting(
        (128, 256, 512, 512), "channels of each level, full resolution first; all but the last halve", *_SIZES
    )
    layers_per_block: int = setting(2, "residual blocks of a level in the encoder; the decoder has one more", *_SIZES)
    latent_channels: int = setting(16, "channels of the latent", *_SIZES)
    norm_num_groups: int = setting(32, "groups of every GroupNorm", *_SIZES)
    scaling_factor: float | tuple[float, ...] = setting(1.5305, "a number, or one a latent channel; not 0")
    shift_factor: float | tuple[float, ...] = setting(0.0609, "a number, or one a latent channel")
    use_quant_conv: bool = setting(False, "whether a 1x1 convolution ends the encoder")
    use_post_quant_conv: bool = setting(False, "whether a 1x1 convolution begins the decoder")

    def __post_init__(self):
        config.check(self)
        if not self.block_out_channels:
            raise InputError("block_out_channels is empty; give the channels of each level")
        require_levels("block_out_channels", self.block_out_channels)
        odd = [channels for channels in self.block_out_channels if channels % self.norm_num_groups]
        if odd:
            raise InputError(
                f"norm_num_groups={self.norm_num_groups} must divide the channels of every level, but does not divide "
                f"{odd[0]}; change it or block_out_channels"
            )
        check_factors(self, "latent_channels")

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column: every level but the last halves both."""
        return 2 ** (len(self.block_out_channels) - 1)

    @property
    def channels_in_latent(self) -> int:
        """Latent channels, by the name that all families have for it."""
        return self.latent_channels

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> ImageVAEConfig:
        """Build from a mapping; missing keys take their defaults, unknown ones raise InputError."""
        return config.from_mapping(cls, mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        """The same as a read-only mapping."""
        return MappingProxyType(asdict(self))


def require_levels(field: str, levels: Sequence[float]) -> None:
    """Raise InputError for more levels, all but the last of which halve frames, than frames can be halved."""
    if len(levels) > _MOST_LEVELS:
        raise InputError(
            f"{field} has {len(levels)} levels, and each but the last halves frames; {_MOST_LEVELS} are most"
        )
