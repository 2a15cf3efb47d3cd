"""The part between the levels, the same in encoder and decoder."""

from mindspore import Tensor, nn

from mg.models.layers.attention import SpatialAttention, TemporalAttention
from mg.models.layers.resnet import ResidualBlock


class Middle(nn.Cell):
    """Residual block, attention over space, attention over time, residual block.  (B, T, C, H, W), same shape out."""

    def __init__(self, channels: int, groups: int, statistics: str):
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, groups, statistics)
        self.spatial_attention = SpatialAttention(channels, groups, statistics)
        self.temporal_attention = TemporalAttention(channels, groups, statistics)
        self.block2 = ResidualBlock(channels, channels, groups, statistics)

    def construct(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        x = self.spatial_attention(x)
        x = self.temporal_attention(x)
        return self.block2(x)
