"""Clips in windows over time, through stand-in codecs."""

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import MeanCodec, index_clip, pieces, whole

from mg.models.tiling.plan import windows
from mg.models.tiling.stream import decode_stream, encode_stream
from mg.models.tiling.tiles import Tiles


@pytest.mark.parametrize(
    "tile, overlap, frames, count",
    [
        (32, 0, 1, 1),
        (32, 0, 32, 1),
        (32, 0, 33, 2),
        (32, 16, 40, 2),
        (32, 16, 100, 6),
        (32, 24, 100, 10),
        (8, 0, 40, 5),
    ],
)
def test_tiled_in_time_equals_untiled(tile, overlap, frames, count):
    clip = index_clip(frames)
    expected = MeanCodec().encode_tile(clip)[0]
    codec = MeanCodec()
    tiles = Tiles(tile, overlap, 0, tile, overlap)
    latents = whole(encode_stream(codec, tiles, pieces(clip, [3, 1, 20])))
    np.testing.assert_allclose(latents, expected, rtol=1e-6)
    assert len(codec.shapes) == count
    assert len(set(codec.shapes)) == 1
    decoder = MeanCodec()
    decoded = whole(decode_stream(decoder, tiles, pieces(expected, [1, 2])))
    np.testing.assert_allclose(decoded, MeanCodec().decode_tile(expected, None)[0], rtol=1e-6)
    assert len(set(decoder.shapes)) == 1


class WideCodec(MeanCodec):
    """Its latents are means over a block of frames and the blocks on either side; a clip's ends are repeated."""

    def encode_tile(self, clip, state=None, reference=None):
        latents, _ = super().encode_tile(clip)
        filled = np.concatenate((latents[:, :, :1], latents, latents[:, :, -1:]), 2)
        return (filled[:, :, :-2] + filled[:, :, 1:-1] + filled[:, :, 2:]) / 3, None


@pytest.mark.parametrize(
    "tile, overlap, context, frames, count",
    [
        (32, 0, 8, 33, 1),
        (32, 0, 8, 48, 1),
        (32, 0, 8, 49, 2),
        (32, 0, 8, 72, 2),
        (32, 0, 8, 73, 3),
        (32, 16, 16, 200, 11),
        (16, 0, 24, 100, 5),
        (8, 0, 8, 40, 4),
    ],
)
def test_with_enough_context_a_window_sees_what_the_whole_clip_shows_it(tile, overlap, context, frames, count):
    clip = (index_clip(frames) / 10) ** 2
    expected = WideCodec().encode_tile(clip)[0]
    codec = WideCodec()
    tiles = Tiles(encode_tile=tile, encode_overlap=overlap, encode_context=context)
    latents = whole(encode_stream(codec, tiles, pieces(clip, [3, 1, 20])))
    assert latents.shape == expected.shape
    # But for the last: a last window is filled up with its last frame, not with its last block.
    np.testing.assert_allclose(latents[:, :, :-1], expected[:, :, :-1], rtol=1e-5)
    assert len(codec.shapes) == count == len(windows(-(-frames // 8), tile // 8, overlap // 8, context=context // 8))
    assert {shape[2] for shape in codec.shapes} == {min(frames, tile + 2 * context)}
    if count > 1:
        without = whole(encode_stream(WideCodec(), replace(tiles, encode_context=0, encode_overlap=0), [clip]))
        assert np.abs(without - expected).max() > 0.1


@pytest.mark.parametrize("frames, begins", [(49, 8), (56, 8), (57, 16), (72, 24), (80, 32), (100, 56)])
def test_the_last_window_begins_earlier_and_holds_real_frames(frames, begins):
    """48 frames with context, of which 32 count; the end of the last latent frame is all that is filled up."""
    seen = []

    class Seeing(MeanCodec):
        def encode_tile(self, clip, state=None, reference=None):
            seen.append(clip[0, 0, :, 0, 0].copy())
            return super().encode_tile(clip)

    latents = whole(encode_stream(Seeing(), Tiles(), pieces(index_clip(frames), [3, 1, 20])))
    np.testing.assert_allclose(latents, MeanCodec().encode_tile(index_clip(frames))[0], rtol=1e-6)
    assert seen[-1].tolist() == [min(frame, frames - 1) for frame in range(begins, begins + 48)]


def test_the_last_window_of_latents_begins_earlier_and_is_blended_where_it_would_have_begun():
    class Numbering(MeanCodec):
        def decode_tile(self, latents, frames, state=None, reference=None):
            assert latents[0, 0, :, 0, 0].tolist() == ([0, 1, 2, 3], [1, 2, 3, 4])[len(self.shapes)]
            return np.full_like(super().decode_tile(latents, None)[0], len(self.shapes) - 1), None

    latents = index_clip(5, 2, 2)[:, :1]
    frames = whole(decode_stream(Numbering(), Tiles(), [latents]))[0, 0, :, 0, 0]
    np.testing.assert_allclose(frames[:16], 0)
    np.testing.assert_allclose(frames[16:32], COSINE, rtol=1e-6)
    np.testing.assert_allclose(frames[32:], 1)


# Half a turn between the outer eighths of an overlap of 16.
COSINE = np.clip(0.5 - 0.5 * np.cos(np.pi * np.clip((np.arange(16) - 1.5) / 12, 0, 1)), 1e-4, 1 - 1e-4)


@pytest.mark.parametrize(
    "tiles, weights", [(Tiles(time_blend="linear"), (np.arange(16) + 0.5) / 16), (Tiles(), COSINE)]
)
def test_overlaps_are_blended(tiles, weights):
    """A codec that numbers its tiles shows the weights."""

    class Numbering(MeanCodec):
        def decode_tile(self, latents, frames, state=None, reference=None):
            return np.full_like(super().decode_tile(latents, None)[0], len(self.shapes) - 1), None

    latents = np.zeros((1, 1, 6, 2, 2), np.float32)
    frames = whole(decode_stream(Numbering(), tiles, [latents]))[0, 0, :, 0, 0]
    np.testing.assert_allclose(frames[:16], 0)
    np.testing.assert_allclose(frames[16:32], weights, rtol=1e-6)
    np.testing.assert_allclose(frames[32:], 1)
