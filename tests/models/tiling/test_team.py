"""Several ranks compute one clip: to the last bit what one process gives, with all ways of tiling and of failing."""

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import CausalCodec, MeanCodec, index_clip, pieces
from teams import together

from mg.errors import InputError
from mg.models.tiling.stream import decode_stream, encode_stream
from mg.models.tiling.team import Team
from mg.models.tiling.tiles import Tiles

BLEND = Tiles(
    encode_tile=16, encode_context=8, decode_tile=16, decode_overlap=8, spatial_tile=32, spatial_overlap=8, tile_batch=3
)
APART = replace(BLEND, encode_tile=17, encode_context=0, decode_tile=17, decode_overlap=0, time_mode="restart")
SLICES = {"spatial_mode": "paste", "max_size": 32, "min_size": 32, "max_latent_size": 4, "min_latent_size": 4}


class Rough:
    """Of a codec, results that are no round numbers, and differ for the same clip in another batch."""

    def __init__(self, codec):
        self.codec = codec
        self.calls = 0

    def __getattr__(self, name):
        return getattr(self.codec, name)

    def encode_tile(self, clip, state=None, reference=None):
        self.calls += 1
        latents, state = self.codec.encode_tile(np.sin(clip * 1.1) / 3, state)
        return (latents + len(clip) / 7 + (0 if reference is None else reference.mean())).astype(np.float32), state

    def decode_tile(self, latents, frames, state=None, reference=None):
        self.calls += 1
        clip, state = self.codec.decode_tile(np.cos(latents) / 3, frames, state)
        return (clip + len(latents) / 7 + (0 if reference is None else reference.mean())).astype(np.float32), state


@pytest.mark.parametrize(
    "codec, tiles",
    [
        (MeanCodec, BLEND),
        (MeanCodec, replace(BLEND, shared_statistics=True)),
        (MeanCodec, replace(BLEND, **SLICES)),
        (CausalCodec, APART),
        (CausalCodec, replace(APART, time_mode="carry")),
        (CausalCodec, replace(APART, time_mode="carry", tile_batch=1)),
    ],
)
@pytest.mark.parametrize("size", [32, 64])
def test_the_result_does_not_depend_on_how_many_ranks_compute_it(codec, tiles, size):
    clip = np.concatenate((index_clip(61, size, size), -index_clip(61, size, size)))

    def both_ways(team):
        one = Rough(codec())
        latents = encode_stream(one, tiles, pieces(clip, [3, 1, 20]), team)
        held = []
        frames = decode_stream(one, tiles, (held.append(z) or z for z in latents), lambda: 61, team)
        return [piece.tobytes() for piece in frames], [z.tobytes() for z in held], one.calls

    frames, latents, calls = both_ways(Team())
    assert calls > 3
    for ranks in (2, 3):
        answers, _ = together(ranks, both_ways)
        for answer in answers:
            assert answer[:2] == (frames, latents)
        counts = [answer[2] for answer in answers]
        assert sum(counts) == calls
        over_space_alone = tiles.time_mode == "carry" and size == 32
        assert (min(counts) == 0) == over_space_alone, counts


@pytest.mark.parametrize("size, calls", [(32, [2, 1, 1]), (64, [12, 12, 12])])
def test_windows_are_shared_where_a_frame_is_one_tile_and_tiles_of_a_window_else(size, calls):
    def encoding(team):
        codec = Rough(CausalCodec())
        list(encode_stream(codec, replace(APART, tile_batch=1), [index_clip(61, size, size)], team))
        return codec.calls

    assert together(3, encoding)[0] == calls


def test_what_fails_on_one_rank_fails_on_all_with_its_error():
    class Failing(Rough):
        def encode_tile(self, clip, state=None, reference=None):
            if self.calls == self.fails_at:
                raise InputError("no room at 80 °C")
            return super().encode_tile(clip)

    def encoding(team):
        codec = Failing(MeanCodec())
        codec.fails_at = 1 if team.rank == 1 else None
        taken = []
        with pytest.raises(InputError, match="no room at 80 °C"):
            taken.extend(encode_stream(codec, BLEND, [index_clip(100)], team))
        return len(taken) > 0, whole_again(team)

    def whole_again(team):  # the ranks are not out of step
        return np.concatenate(list(encode_stream(MeanCodec(), BLEND, [index_clip(40)], team)), 2).tobytes()

    answers, _ = together(3, encoding)
    assert answers == [(True, whole_again(Team()))] * 3


def test_a_clip_that_ends_on_one_rank_alone_ends_on_all():
    def frames(team):
        yield index_clip(40)
        if team.rank == 1:
            raise InputError("the disk of rank 1 is gone")
        yield index_clip(40)

    def encoding(team):
        with pytest.raises(InputError, match="the disk of rank 1 is gone"):
            list(encode_stream(MeanCodec(), BLEND, frames(team), team))
        return True

    assert together(2, encoding)[0] == [True, True]


def test_ranks_draw_one_seed():
    answers, _ = together(2, lambda team: (team.same(None), team.same(3)))
    assert answers[0] == answers[1] and answers[0][1] == 3
    assert together(2, lambda team: team.same(None))[0][0] != answers[0][0]
    assert Team().same(None) is None


def test_a_rank_holds_the_results_of_one_round():
    _, meeting = together(2, lambda team: len(list(encode_stream(MeanCodec(), BLEND, [index_clip(200, 64, 64)], team))))
    largest = 3 * 3 * (32 // 8) ** 2 * 4  # three tiles of up to four latent frames
    assert max(size for size in meeting.sizes if size != meeting.sizes[0]) <= largest
