"""Sizes of the slices that frames are cut into where these are laid side by side, and not blended.

The rule of another program, whose numbers it is there for. What is left of a frame beyond whole slices is cropped away.
"""

from __future__ import annotations

from mg.errors import InputError


def slice_of(edge: int, largest: int, smallest: int, step: int) -> int:
    """Of largest, largest - step, ..., smallest the size of which whole ones leave least of an edge, or the larger."""
    sizes = range(largest, smallest - 1, -step)
    return min(sizes, key=lambda size: (abs(edge - size * (edge // size)), -size))


def sliced(edge: int, sizes: tuple[int, int, int]) -> int:
    """How much of an edge whole slices cover. sizes: largest, smallest, step.

    Raises InputError if not even one fits.
    """
    if edge < sizes[1]:
        raise InputError(
            f"a frame's side of {edge} is less than a slice of {sizes[1]}; lower min_size, or use spatial_mode=blend"
        )
    size = slice_of(edge, *sizes)
    return size * (edge // size)


def part_of(edge: int, largest: int, smallest: int) -> int:
    """The smallest divisor of an edge from `smallest` to `largest`. Raises InputError if there is none."""
    for size in range(smallest, min(largest, edge) + 1):
        if edge % size == 0:
            return size
    raise InputError(
        f"{edge} latents have no divisor from {smallest} to {largest}; change min_latent_size or max_latent_size"
    )
