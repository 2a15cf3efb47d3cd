"""GroupNorm over frames."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mg import runtime
from mg.models.layers.by_device import AddToRows, ScaleAndShiftRows, norm_of_rows


class GroupNorm(nn.Cell):
    """GroupNorm of (B, T, C, H, W) with the statistics of each frame, or of the whole clip.

    statistics: "frame" (over a frame's H, W and the group's channels) or "clip" (over T as well).
    affine: whether each channel has a weight and a bias of its own.
    With `of_first`, the whole batch is normalised by the statistics of its first clip; see `twin_with_reference`. With
    `of_bands`, by those of frames of which others have the other rows; see `mg.models.layers.bands`.
    Computes in fp32 whatever the type of its input, and returns that type.
    """

    def __init__(self, groups: int, channels: int, statistics: str = "frame", eps: float = 1e-6, affine: bool = True):
        super().__init__()
        self.groups = groups
        self.per_clip = statistics == "clip"
        self.of_first = False
        self.of_bands = None
        self.eps = eps
        start = Tensor(np.ones(channels, np.float32)), Tensor(np.zeros(channels, np.float32))
        self.weight, self.bias = map(Parameter, start) if affine else start
        self.add = AddToRows()
        self.scale_and_shift = ScaleAndShiftRows()
        self.of_rows = norm_of_rows(groups, eps, self.per_clip)
        self.on_cpu = runtime.on_cpu()

    def construct(self, x: Tensor) -> Tensor:
        if self.on_cpu and not (self.training or self.of_first or self.of_bands is not None):
            return self.of_rows(x, self.weight, self.bias)
        batch, frames, channels, height, width = x.shape
        pixels = x.astype(mstype.float32).reshape(batch * frames * self.groups, -1)
        mean = self.average(pixels, batch, frames, width)
        centred = self.add(pixels, -mean)
        variance = self.average(centred * centred, batch, frames, width)
        if self.of_bands is not None:
            above, variance = self.of_bands(mean, variance)
            centred = self.add(centred, above)
        scale = self.per_channel(ops.rsqrt(variance + self.eps), channels) * self.weight
        shift = ops.broadcast_to(self.bias, scale.shape)
        pixels = self.scale_and_shift(centred.reshape(-1, height * width), scale.reshape(-1), shift.reshape(-1))
        return pixels.astype(x.dtype).reshape(x.shape)

    def average(self, x: Tensor, batch: int, frames: int, width: int) -> Tensor:
        """Mean per frame (or clip) and group, (B*T*groups,). By rows first: short sums lose little and are fast."""
        mean = x.reshape(-1, width).mean(-1).reshape(batch * frames * self.groups, -1).mean(-1)
        if self.per_clip:
            mean = mean.reshape(batch, frames, self.groups)
            mean = ops.broadcast_to(mean.mean(1, keep_dims=True), mean.shape)
        if self.of_first:
            mean = mean.reshape(batch, -1)
            mean = ops.broadcast_to(mean[:1], mean.shape)
        return mean.reshape(-1)

    def per_channel(self, x: Tensor, channels: int) -> Tensor:
        """(B*T*groups,) -> (B*T, C)."""
        x = x.reshape(-1, self.groups, 1)
        return ops.broadcast_to(x, (x.shape[0], self.groups, channels // self.groups)).reshape(-1, channels)


def twin_with_reference(network: nn.Cell, twin: nn.Cell) -> nn.Cell:
    """Make `twin`, built like `network` and not yet compiled, share its parameters and read a reference.

    The first clip of a batch is then the reference: its statistics normalise the whole batch, in every norm.
    """
    for cell in share_parameters(network, twin):
        if isinstance(cell, GroupNorm):
            cell.of_first = True
    return twin.set_train(False)


def share_parameters(network: nn.Cell, twin: nn.Cell) -> list[nn.Cell]:
    """Give every cell of `twin`, built like `network`, the parameters that its counterpart has; the cells of `twin`."""
    cells = []
    for (_, cell), (_, original) in zip(twin.cells_and_names(), network.cells_and_names()):
        for name, parameter in original.parameters_and_names(expand=False):
            setattr(cell, name.rpartition(".")[2], parameter)
        cells.append(cell)
    return cells
