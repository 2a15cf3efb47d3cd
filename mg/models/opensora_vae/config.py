"""What an Open-Sora VAE is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from mg import config
from mg.config import setting
from mg.errors import InputError
from mg.models.factors import check_factors
from mg.models.image_vae.config import ImageVAEConfig

_SIZES = (1, 8192)


@dataclass(frozen=True)
class OpenSoraVAEConfig:
    """Sizes and factors of an image VAE and of a temporal VAE on its latents; the defaults are Open-Sora 1.2's.

    A diffusion model sees (z - shift_factor) * scaling_factor. Open-Sora writes (z - shift) / scale: its scale is
    1 / scaling_factor.
    """

    spatial_channels: tuple[int, ...] = setting((128, 256, 512, 512), "of the image VAE's levels", *_SIZES)
    spatial_blocks: int = setting(2, "residual blocks of its encoder's levels, one more in its decoder", *_SIZES)
    spatial_latent: int = setting(4, "channels of its latents", *_SIZES)
    spatial_groups: int = setting(32, "groups of its norms", *_SIZES)
    spatial_quant_convs: bool = setting(True, "whether 1x1 convolutions end its encoder and begin its decoder")
    spatial_factor: float = setting(0.18215, "what its latents are multiplied by for the temporal VAE; not 0")
    temporal_channels: int = setting(128, "of the temporal VAE's first layer", *_SIZES)
    temporal_multiples: tuple[int, ...] = setting((1, 2, 2, 4), "their multiple at each level", *_SIZES)
    temporal_blocks: int = setting(4, "residual blocks of each level, and after the last", *_SIZES)
    temporal_groups: int = setting(32, "groups of its norms", *_SIZES)
    halved_levels: tuple[int, ...] = setting((1, 2), "levels after which time is halved, counted from 0", 0)
    z_channels: int = setting(4, "channels of what it gives", *_SIZES)
    scaling_factor: float | tuple[float, ...] = setting(
        (1 / 3.85, 1 / 2.32, 1 / 2.33, 1 / 3.06), "a number, or one a latent channel; not 0"
    )
    shift_factor: float | tuple[float, ...] = setting((-0.10, 0.34, 0.27, 0.98), "a number, or one a latent channel")

    def __post_init__(self):
        config.check(self)
        _ = self.spatial  # what is wrong with it is said by itself
        levels = len(self.temporal_multiples)
        if list(self.halved_levels) != sorted({level for level in self.halved_levels if level < levels - 1}):
            raise InputError(
                f"halved_levels={list(self.halved_levels)} must be rising numbers below {levels - 1}: the last of the "
                f"{levels} levels of temporal_multiples halves nothing; correct one of the two"
            )
        odd = [channels for channels in self.temporal_widths if channels % self.temporal_groups]
        if odd:
            raise InputError(
                f"temporal_groups={self.temporal_groups} must divide the channels of every level, but does not divide "
                f"{odd[0]}; change it, temporal_channels or temporal_multiples"
            )
        check_factors(self, "z_channels")

    @property
    def spatial(self) -> ImageVAEConfig:
        """The image VAE's configuration. Raises InputError for what it refuses, by its own names."""
        return ImageVAEConfig(
            block_out_channels=self.spatial_channels,
            layers_per_block=self.spatial_blocks,
            latent_channels=self.spatial_latent,
            norm_num_groups=self.spatial_groups,
            scaling_factor=self.spatial_factor,
            shift_factor=0.0,
            use_quant_conv=self.spatial_quant_convs,
            use_post_quant_conv=self.spatial_quant_convs,
        )

    @property
    def temporal_widths(self) -> tuple[int, ...]:
        """Channels of the temporal VAE's first layer, then of each level."""
        multiples = (1, *self.temporal_multiples)
        return tuple(self.temporal_channels * multiple for multiple in multiples)

    @property
    def space_compression(self) -> int:
        """Rows and columns per latent row and column: the image VAE's."""
        return self.spatial.space_compression

    @property
    def time_compression(self) -> int:
        """Frames per latent frame."""
        return 2 ** len(self.halved_levels)

    @property
    def channels_in_latent(self) -> int:
        """Latent channels, by the name that all families have for it."""
        return self.z_channels

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> OpenSoraVAEConfig:
        """Build from a mapping; missing keys take their defaults, unknown ones raise InputError."""
        return config.from_mapping(cls, mapping)

    def as_mapping(self) -> Mapping[str, Any]:
        """The same as a read-only mapping."""
        return MappingProxyType(asdict(self))
