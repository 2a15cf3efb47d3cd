"""How clips go through a model."""

from __future__ import annotations

from dataclasses import dataclass

from mg.checks import require_whole
from mg.io.clip import Sampling


@dataclass(frozen=True)
class Options:
    """How inputs are encoded or reconstructed.

    sampling: what is taken of each clip. sample: of a posterior a sample, drawn with `seed` and the input's name,
    instead of its mean. batch_size: clips of one shape that go through the model at once; above 1 they are read whole.
    """

    sampling: Sampling = Sampling()
    sample: bool = False
    seed: int = 0
    batch_size: int = 1

    def __post_init__(self):
        require_whole("seed", self.seed, 0)
        require_whole("batch_size", self.batch_size, 1)
