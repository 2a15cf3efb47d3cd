"""Settings of all kinds, and flags of them."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, dataclass

from mg.cli import add_flags, given_flags
from mg.config import (
    check,
    setting,
)


@dataclass(frozen=True)
class Sizes:
    """Sizes of all kinds, 100 % made up.

    More text.
    """

    rate: float = setting(1e-4, "how fast", 0)
    steps: int = setting(10, "how long, 100 % of it", 1, 1000, unit="steps")
    name: str = setting("a", "what it is called")
    kind: str = setting("fast", "which one", choices=("fast", "slow"))
    fast: bool = False
    limit: float | None = None
    seed: int | None = 3
    side: int | tuple[int, int] = setting(8, "of a square, or two of a rectangle", 1)
    buckets: tuple[int, ...] = ()
    patterns: tuple[str, ...] | None = None
    betas: tuple[float, float] = setting((0.9, 0.999), "decays", 0, 1)
    weight: float | tuple[float, float, int] = setting(1.0, "or from, to, steps", 0)
    factors: float | tuple[float, ...] = 1.0
    sizes: tuple[tuple[int, int], ...] = setting((), "height x width", 16)

    __post_init__ = check


@dataclass(frozen=True)
class Place:
    """Where to write."""

    output_path: str = setting(MISSING, "a folder")

    __post_init__ = check


def parsed(*words, classes=(Sizes,)):
    parser = argparse.ArgumentParser()
    add_flags(parser, *classes)
    return given_flags(parser.parse_args(words), *classes)
