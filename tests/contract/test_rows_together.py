"""Frames whose rows several ranks share, none of them in tiles: what one process gets, for every family."""

import json
import re
import threading

import numpy as np
import pytest
from conftest import ROOT, msrun, pynative
from kinds import KINDS, build, clip, register
from mindspore import Tensor, nn
from teams import together

from mg.errors import InputError
from mg.models.layers import bands
from mg.models.layers.bands import Bands, bands_of
from mg.models.tiling.team import ALONE

register()
FAST = ("tae",)  # the others are in the slow layer, in graphs
WITH_LAYERS = [kind for kind in KINDS if not kind.family.startswith("toy")]  # toys have layers of their own
NEAR = 1e-5  # of the largest value
ON_RANKS = """
import json, sys
sys.path[:0] = [{tests!r}, {contract!r}]
from mg import distributed, runtime
runtime.setup()
distributed.start()  # at once: the launcher's scheduler runs this script, too, and stays here
from kinds import KINDS
from test_rows_together import both_ways
for kind in KINDS:
    if kind.family in {families!r}:
        print("FOUND", json.dumps([kind.family, *both_ways(kind)]), flush=True)
"""


class Exchange(nn.Cell):
    """In place of AllGather, between threads that have set `who.team`."""

    who = threading.local()

    def construct(self, x):
        rows = self.who.team.exchange(x.asnumpy().ravel())
        return Tensor(rows.reshape(-1, *x.shape[1:]))


def there_and_back(model, frames, raw=None):
    """Raw output of whole frames, in windows over time, and frames of it, or of raw output that is given."""
    own = list(model.raw_stream([frames]))
    latents = [model.latents.decoded(piece) for piece in (own if raw is None else [raw])]
    pieces = model.clip_stream(latents, frames.shape[2])
    return np.concatenate(own, 2), np.concatenate(list(pieces), 2)


def whole_frames(kind):
    tiles = {**kind.tiles, "spatial_tile": 64, "spatial_overlap": 0}
    return build(kind, **tiles), clip(1, 3, 7, 44, 24)  # 44 rows are 11 or 22 latent ones, or 11 of 12


def apart(found, expected):
    """Largest differences, as shares of the largest values."""
    return [float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected)]


def both_ways(kind):
    """On one of several ranks: how far it is from one process."""
    model, frames = whole_frames(kind)
    alone = there_and_back(model, frames)
    model.parallel = "rows"
    assert model.parallel == "rows" and model.team.ranks > 1
    # Of the same latents: codes are signs of what may be next to zero, and rounding may change one.
    return apart(there_and_back(model, frames, alone[0]), alone)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.family in FAST], ids=lambda kind: kind.family)
def test_bands_of_uneven_heights_are_the_whole(kind, monkeypatch):
    monkeypatch.setattr(bands.ops, "AllGather", Exchange)
    model, frames = whole_frames(kind)

    def one(team):
        Exchange.who.team = team
        own, _ = whole_frames(kind)
        own.team = team
        return there_and_back(own, frames, expected[0])

    with pynative():
        model.team = ALONE
        expected = there_and_back(model, frames)
        answers, _ = together(3, one, rows=True)
    for answer in answers:
        assert not isinstance(answer, Exception), answer
        assert max(apart(answer, expected)) < NEAR
        assert all(np.array_equal(a, b) for a, b in zip(answer, answers[0]))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_so_they_are_in_graphs_of_every_family(ranks, tmp_path):
    families = [kind.family for kind in WITH_LAYERS]
    places = {"tests": str(ROOT / "tests"), "contract": str(ROOT / "tests" / "contract")}
    (tmp_path / "on_ranks.py").write_text(ON_RANKS.format(families=families, **places))
    told = msrun(tmp_path / "on_ranks.py", folder=tmp_path, ranks=ranks)
    found = [json.loads(line) for line in re.findall(r"FOUND (\[.*\])", told)]
    assert {family: sum(one == family for one, *_ in found) >= ranks for family in families} == dict.fromkeys(
        families, True
    )
    assert max(max(differences) for _, *differences in found) < NEAR, found


def test_rows_are_shared_as_equally_as_they_can_be():
    assert [bands_of(7, rank, 3).rows for rank in range(3)] == [(3, 2, 2)] * 3
    frames = np.arange(14.0).reshape(1, 1, 1, 14, 1)
    assert [Bands((3, 2, 2), rank).own(frames).ravel().tolist() for rank in range(3)] == [
        [0, 1, 2, 3, 4, 5],
        [6, 7, 8, 9],
        [10, 11, 12, 13],
    ]
    with pytest.raises(InputError, match="2 latent rows"):
        bands_of(2, 0, 3)


def test_another_way_to_share_is_refused():
    model = build(KINDS[0], shared_statistics=True)
    with pytest.raises(InputError, match="parallel='columns'"):
        model.parallel = "columns"
    with pytest.raises(InputError, match="shared_statistics"):
        model.parallel = "rows"
