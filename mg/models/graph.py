"""A network as it is compiled; what is checked and said before it computes clips of a shape for the first time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mindspore import Tensor, nn

from mg import runtime
from mg.errors import InputError

if TYPE_CHECKING:
    from mg.models.autoencoder import Autoencoder

logger = logging.getLogger(__name__)

_OVERHEAD = 250e6  # bytes of a graph, whatever the shape
_VALUE = 4  # bytes


class Graph(nn.Cell):
    """What a network is compiled in, so that its graphs can be let go of without it.

    state: what a network that carries one along takes besides.
    """

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        self.network = network
        self._shapes = set()

    def prepare(self, model: Autoencoder, name: str, shape: tuple[int, ...]) -> None:
        """Before a shape is computed for the first time: require the memory, and log about how long it is compiled."""
        if shape in self._shapes or not runtime.in_graph_mode():
            return
        require_memory(model, name, shape)
        seconds = runtime.compiling(len(list(self.network.get_parameters())))
        logger.info("compiling the %s for %s, which takes %s", name, "x".join(map(str, shape)), seconds)
        self._shapes.add(shape)

    def construct(self, x: Tensor, *state: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.network(x, *state)


def memory(model: Autoencoder, name: str, shape: tuple[int, ...]) -> float | None:
    """About how many bytes a network, "encoder" or "decoder", takes on a CPU for a batch (B, C, T, H, W) in one.

    None for a family of which it was not measured. See `Autoencoder.live_values`.
    """
    batch, _, length, height, width = shape
    side = model.space_compression if name == "decoder" else 1
    values = model.live_values(name, length)
    return None if values is None else _OVERHEAD + _VALUE * values * batch * height * width * side**2


def require_memory(model: Autoencoder, name: str, shape: tuple[int, ...]) -> None:
    """Raise InputError if a batch takes more memory than is free, where both are known."""
    needed, free = memory(model, name, shape), runtime.free_memory()
    if needed is not None and free is not None and needed > free:
        raise InputError(
            f"the {name} takes about {needed / 1e9:.1f} GB for {'x'.join(map(str, shape))} at once, but "
            f"{free / 1e9:.1f} GB are free; compute in tiles (--use_tile), in smaller ones (--spatial_tile, "
            "--encode_tile, --decode_tile), or smaller frames (--image_size)"
        )
