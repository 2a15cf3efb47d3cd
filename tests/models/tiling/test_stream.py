"""Streams in tiles through stand-in codecs: models of all kinds, what is held, and what is refused."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT
from stand_ins import CausalCodec, MeanCodec, index_clip, pieces, whole

from mg.errors import InputError
from mg.models.tiling.stream import decode_stream, encode_stream
from mg.models.tiling.tiles import Tiles


def test_other_compressions_work_the_same():
    clip = index_clip(30, 40, 40)
    tiles = Tiles(encode_tile=8, encode_overlap=4, encode_context=0, spatial_tile=16, spatial_overlap=4)
    codec = MeanCodec(4, 4)
    tiles.fit(codec)
    np.testing.assert_allclose(
        whole(encode_stream(codec, tiles, [clip])), MeanCodec(4, 4).encode_tile(clip)[0], rtol=1e-5
    )
    assert len(codec.shapes) == 7 * 9


CARRY = Tiles(
    encode_tile=29,
    encode_context=0,
    decode_tile=29,
    decode_overlap=0,
    spatial_tile=32,
    spatial_overlap=8,
    tile_batch=3,
    time_mode="carry",
)


@pytest.mark.parametrize("frames, count", [(1, 1), (29, 1), (30, 2), (61, 2), (100, 4)])
@pytest.mark.parametrize("size", [16, 40])
def test_a_causal_model_has_a_first_window_of_its_own_and_gets_its_state_back(frames, count, size):
    clip, codec, codec2 = index_clip(frames, size, size), CausalCodec(), CausalCodec()
    CARRY.fit(codec)
    tiled_in_space = 1 if size == 16 else 2  # four tiles of 32, three at a time
    expected, _ = CausalCodec().encode_tile(clip)
    latents = whole(encode_stream(codec, CARRY, pieces(clip, [3, 1, 20])))
    np.testing.assert_allclose(latents, expected, rtol=1e-5)
    assert len(codec.shapes) == count * tiled_in_space
    assert {shape[2] for shape in codec.shapes} <= ({29, 32} if count > 1 else {frames})
    decoded = whole(decode_stream(codec2, CARRY, pieces(expected, [1, 2])))
    again = CausalCodec().decode_tile(expected, None)[0]
    np.testing.assert_allclose(decoded[:, :, :frames], again[:, :, :frames], rtol=1e-5)
    assert decoded.shape[2] == codec.window_frames(expected.shape[2])
    assert len({shape[2] for shape in codec2.shapes}) == 1


RESTART = replace(CARRY, encode_tile=17, decode_tile=17, time_mode="restart")


@pytest.mark.parametrize("frames", [1, 3, 16, 17, 18, 34, 40, 51])
@pytest.mark.parametrize("size", [16, 40])
def test_windows_that_restart_are_clips_of_their_own(frames, size):
    clip, codec, codec2 = index_clip(frames, size, size), CausalCodec(), CausalCodec()
    RESTART.fit(codec)
    windows = [clip[:, :, start : start + 17] for start in range(0, frames, 17)]
    expected = [CausalCodec().encode_tile(window)[0] for window in windows]
    latents = whole(encode_stream(codec, RESTART, pieces(clip, [3, 1, 20])))
    np.testing.assert_allclose(latents, np.concatenate(expected, 2), rtol=1e-5)
    decoded = whole(decode_stream(codec2, RESTART, pieces(latents, [1, 2]), lambda: frames))
    again = [CausalCodec().decode_tile(part, None)[0] for part in expected]
    assert decoded.shape[2] == frames
    np.testing.assert_allclose(decoded, np.concatenate(again, 2)[:, :, :frames], rtol=1e-5)


class Blocks(CausalCodec):
    """Each window's first latent is its first frame, the others are means of four: a causal model without a past."""

    def encode_tile(self, clip, state=None, reference=None):
        self.shapes.append(clip.shape)
        missing = -(clip.shape[2] - 1) % 4
        clip = np.concatenate([clip] + [clip[:, :, -1:]] * missing, 2)[..., ::8, ::8]
        b, c, t, h, w = clip[:, :, 1:].shape
        rest = clip[:, :, 1:].reshape(b, c, t // 4, 4, h, w).mean(3)
        return np.concatenate((clip[:, :, :1], rest), 2), None

    def decode_tile(self, latents, frames, state=None, reference=None):
        self.shapes.append(latents.shape)
        return latents.repeat(4, 2)[:, :, 3:].repeat(8, 3).repeat(8, 4), None


@pytest.mark.parametrize("frames", [1, 16, 17, 18, 29, 40, 61])
def test_windows_of_a_causal_model_can_overlap_and_end_where_its_latents_do(frames):
    """A window's first latent frame is of one frame, so the context drops it; decoding, it is blended with its own."""
    tiles = replace(RESTART, encode_context=4, encode_tile=9, decode_overlap=4, time_mode="blend")
    codec, codec2, clip = Blocks(), Blocks(), index_clip(frames)
    tiles.fit(codec)
    expected = Blocks().encode_tile(clip)[0]
    latents = whole(encode_stream(codec, tiles, pieces(clip, [3, 1, 20])))
    np.testing.assert_allclose(latents, expected, rtol=1e-5)
    decoded = whole(decode_stream(codec2, tiles, pieces(expected, [1, 2])))
    np.testing.assert_allclose(decoded, Blocks().decode_tile(expected, None)[0], rtol=1e-5)
    assert len({shape[2] for shape in codec2.shapes}) == 1


@pytest.mark.parametrize("field", ["encode_overlap", "encode_context", "decode_overlap"])
@pytest.mark.parametrize("mode", ["carry", "restart"])
def test_windows_that_do_not_blend_can_share_nothing(field, mode):
    tiles = replace(RESTART, time_mode=mode)
    with pytest.raises(InputError, match=f"{field}=4.*windows share nothing"):
        replace(tiles, **{field: 4}).fit(CausalCodec())
    with pytest.raises(InputError, match="time_mode=carry is not right for this model"):
        replace(tiles, time_mode="carry").fit(MeanCodec(4, 8))


def test_two_streams_can_interleave_and_little_is_held():
    clips = [index_clip(200), -index_clip(200)]
    read = [0, 0]

    def frames(which):
        for piece in pieces(clips[which], [1]):
            read[which] += 1
            yield piece

    streams = [encode_stream(MeanCodec(), Tiles(), frames(which)) for which in (0, 1)]
    taken = [[], []]
    for first, second in zip(*streams):
        taken[0].append(first)
        taken[1].append(second)
        assert read[0] <= 8 * sum(piece.shape[2] for piece in taken[0]) + 32 + 16  # a tile and its context
    for which in (0, 1):
        np.testing.assert_allclose(np.concatenate(taken[which], 2), MeanCodec().encode_tile(clips[which])[0], rtol=1e-6)


def test_bad_streams_are_refused():
    with pytest.raises(InputError, match="empty"):
        list(encode_stream(MeanCodec(), Tiles(), []))
    with pytest.raises(InputError, match="one size"):
        list(encode_stream(MeanCodec(), Tiles(), [index_clip(2), index_clip(2, 24)]))
    with pytest.raises(InputError, match=r"17, 16.*24, 16"):  # the same once filled up to multiples of 8
        list(encode_stream(MeanCodec(), Tiles(), [index_clip(2, 17), index_clip(2, 24)]))

    def broken():
        yield index_clip(40)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(encode_stream(MeanCodec(), Tiles(), broken()))


@pytest.mark.parametrize(
    "field, value",
    [
        ("encode_tile", 12),
        ("encode_context", 4),
        ("encode_context", -8),
        ("decode_overlap", 32),
        ("spatial_tile", 0),
        ("spatial_overlap", -8),
        ("tile_batch", 0),
        ("time_blend", "sharp"),
        ("spatial_blend", "sharp"),
        ("shared_statistics", 1),
    ],
)
def test_bad_tiles_are_named(field, value):
    with pytest.raises(InputError, match=f"{field}={value!r}"):
        Tiles(**{field: value}).fit(MeanCodec())


def test_memory_is_flat_in_the_length_of_a_clip():
    """All buffers are real, the model only averages; tools/measure_memory.py does the same at 3840x2160."""
    peaks = {}
    for frames in (49, 97):
        command = [sys.executable, str(ROOT / "tools/measure_memory.py"), "--one", str(frames), "544", "960"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        peaks[frames] = usage.ru_maxrss
    assert peaks[97] < 1.05 * peaks[49], peaks
    assert peaks[49] > 4 * 32 * 3 * 544 * 960 / 1024, "the buffers are not real"
