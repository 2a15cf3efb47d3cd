"""Every family on one and on three ranks: the same bits, in tiles of a frame and in windows of one tile."""

import pytest
from conftest import pynative
from kinds import KINDS, build, clip, register
from teams import together

from mg.models.tiling.team import ALONE

register()
FAST = ("tae", "asymmetric_magvit2", "toy_tokenizer")  # windows that blend, restart and carry
APART = dict.fromkeys(("encode_overlap", "encode_context", "decode_overlap"), 0)


def there_and_back(model, frames, team):
    """Raw output and frames, bytes of each, as one of the team gets them."""
    model.team = team  # a stream keeps the team that it began with, and other threads wait until all meet
    raw = list(model.raw_stream([frames]))
    model.team = team
    pieces = model.clip_stream([model.latents.decoded(piece) for piece in raw], frames.shape[2])
    return b"".join(piece.tobytes() for piece in raw), b"".join(piece.tobytes() for piece in pieces)


def check(model, frames, ranks):
    with pynative():
        alone = there_and_back(model, frames, ALONE)
        assert together(ranks, lambda team: there_and_back(model, frames, team))[0] == [alone] * ranks


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.family in FAST], ids=lambda kind: kind.family)
def test_how_many_ranks_compute_a_clip_changes_no_bit(kind):
    check(build(kind, **kind.tiles), clip(1, 3, 7, 16, 24), 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.family)
def test_nor_does_it_in_any_way_along_time(kind):
    model = build(kind, **kind.tiles)
    tiles = model.tiles
    for mode in model.time_modes:
        model.tiles = tiles if mode == "blend" else tiles.but(time_mode=mode, **APART)
        for width in (16, 40):
            for ranks in (2, 3):
                check(model, clip(1, 3, 11, 16, width), ranks)
