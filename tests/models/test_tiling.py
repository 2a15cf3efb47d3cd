"""Tiling and streaming through stand-in codecs that have no receptive field: tiled must equal untiled exactly."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

from mg.errors import InputError
from mg.models.tile_plan import windows
from mg.models.tiling import Tiles, decode_stream, encode_stream


class MeanCodec:
    """Averages blocks of `time` x `space` x `space`, and repeats them back; counts the tiles it is given."""

    def __init__(self, time=8, space=8):
        self.time_compression, self.space_compression = time, space
        self.shapes = []

    def latent_frames(self, frames):
        return -(-frames // self.time_compression)

    def frames(self, latent_frames):
        return latent_frames * self.time_compression

    def encode_tile(self, clip, state=None, reference=None):
        self.shapes.append(clip.shape)
        missing = -clip.shape[2] % self.time_compression
        clip = np.concatenate([clip] + [clip[:, :, -1:]] * missing, 2)
        b, c, t, h, w = clip.shape
        n, s = self.time_compression, self.space_compression
        return clip.reshape(b, c, t // n, n, h // s, s, w // s, s).mean((3, 5, 7)), None

    def decode_tile(self, latents, state=None, reference=None):
        self.shapes.append(latents.shape)
        s = self.space_compression
        return latents.repeat(self.time_compression, 2).repeat(s, 3).repeat(s, 4), None


class CausalCodec(MeanCodec):
    """1 + 4n frames: the first alone, then running sums over the whole past, four frames to a latent."""

    def __init__(self):
        super().__init__(4, 8)

    def latent_frames(self, frames):
        return min(frames, 1) + -(-max(frames - 1, 0) // 4)

    def frames(self, latent_frames):
        return max(0, 4 * latent_frames - 3)

    def encode_tile(self, clip, state=None, reference=None):
        self.shapes.append(clip.shape)
        missing = -(clip.shape[2] - (state is None)) % 4
        sums = np.cumsum(np.concatenate([clip] + [clip[:, :, -1:]] * missing, 2), 2) + (0 if state is None else state)
        return sums[:, :, (0 if state is None else 3) :: 4, ::8, ::8], sums[:, :, -1:]

    def decode_tile(self, latents, state=None, reference=None):
        self.shapes.append(latents.shape)
        sums = np.cumsum(latents, 2) + (0 if state is None else state)
        return sums.repeat(4, 2)[:, :, 3 if state is None else 0 :].repeat(8, 3).repeat(8, 4), sums[:, :, -1:]


def index_clip(frames, height=16, width=16):
    """Every pixel of frame t is t; rows and columns add a little of their own number."""
    t, y, x = np.ogrid[:frames, :height, :width]
    clip = (t + y / 1000 + x / 10000).astype(np.float32)
    return np.stack([clip, -clip, 2 * clip])[None]


def pieces(clip, lengths):
    """`clip` cut into pieces of the lengths, over and over."""
    start, index = 0, 0
    while start < clip.shape[2]:
        yield clip[:, :, start : start + lengths[index % len(lengths)]]
        start += lengths[index % len(lengths)]
        index += 1


def whole(stream):
    return np.concatenate(list(stream), 2)


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
    tiles = Tiles(tile, overlap, tile, overlap, encode_context=0)
    latents = whole(encode_stream(codec, tiles, pieces(clip, [3, 1, 20])))
    np.testing.assert_allclose(latents, expected, rtol=1e-6)
    assert len(codec.shapes) == count
    assert len(set(codec.shapes)) == 1
    decoder = MeanCodec()
    decoded = whole(decode_stream(decoder, tiles, pieces(expected, [1, 2])))
    np.testing.assert_allclose(decoded, MeanCodec().decode_tile(expected)[0], rtol=1e-6)
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
        (32, 0, 8, 32, 1),
        (32, 0, 8, 33, 2),
        (32, 0, 8, 48, 2),
        (32, 0, 8, 49, 3),
        (64, 16, 16, 200, 10),
        (64, 0, 24, 100, 4),
        (24, 0, 8, 40, 3),
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
    assert len(set(codec.shapes)) == 1
    if count > 1:
        without = whole(encode_stream(WideCodec(), replace(tiles, encode_context=0, encode_overlap=0), [clip]))
        assert np.abs(without - expected).max() > 0.1


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("height, width, count", [(64, 64, 1), (65, 64, 2), (100, 200, 8), (64, 250, 5)])
def test_tiled_in_space_equals_untiled(batch, height, width, count):
    clip = index_clip(9, height, width)
    padded = np.pad(clip, ((0, 0), (0, 0), (0, 0), (0, -height % 8), (0, -width % 8)), mode="edge")
    expected = MeanCodec().encode_tile(padded)[0]
    tiles = Tiles(spatial_tile=64, spatial_overlap=16, tile_batch=batch)
    codec = MeanCodec()
    np.testing.assert_allclose(whole(encode_stream(codec, tiles, [clip])), expected, atol=1e-5)
    batch = min(batch, count)
    assert sum(shape[0] for shape in codec.shapes) == -(-count // batch) * batch
    assert len(set(codec.shapes)) == 1
    codec = MeanCodec()
    np.testing.assert_allclose(
        whole(decode_stream(codec, tiles, [expected])), MeanCodec().decode_tile(expected)[0], atol=1e-5
    )
    assert len(set(codec.shapes)) == 1


def test_other_compressions_work_the_same():
    clip = index_clip(30, 40, 40)
    tiles = Tiles(encode_tile=8, encode_overlap=4, encode_context=0, spatial_tile=16, spatial_overlap=4)
    codec = MeanCodec(4, 4)
    tiles.check(codec)
    np.testing.assert_allclose(
        whole(encode_stream(codec, tiles, [clip])), MeanCodec(4, 4).encode_tile(clip)[0], rtol=1e-5
    )
    assert len(codec.shapes) == 7 * 9


# Half a turn between the outer eighths of an overlap of 16.
COSINE = np.clip(0.5 - 0.5 * np.cos(np.pi * np.clip((np.arange(16) - 1.5) / 12, 0, 1)), 1e-4, 1 - 1e-4)


@pytest.mark.parametrize(
    "tiles, weights", [(Tiles(time_blend="linear"), (np.arange(16) + 0.5) / 16), (Tiles(), COSINE)]
)
def test_overlaps_are_blended(tiles, weights):
    """A codec that numbers its tiles shows the weights."""

    class Numbering(MeanCodec):
        def decode_tile(self, latents, state=None, reference=None):
            return np.full_like(super().decode_tile(latents)[0], len(self.shapes) - 1), None

    latents = np.zeros((1, 1, 6, 2, 2), np.float32)
    frames = whole(decode_stream(Numbering(), tiles, [latents]))[0, 0, :, 0, 0]
    np.testing.assert_allclose(frames[:16], 0)
    np.testing.assert_allclose(frames[16:32], weights, rtol=1e-6)
    np.testing.assert_allclose(frames[32:], 1)


@pytest.mark.parametrize("frames, count", [(1, 1), (29, 1), (30, 2), (61, 2), (100, 4)])
@pytest.mark.parametrize("size", [16, 40])
def test_a_causal_model_has_a_first_window_of_its_own_and_gets_its_state_back(frames, count, size):
    clip = index_clip(frames, size, size)
    tiles = Tiles(encode_context=0, decode_overlap=0, spatial_tile=32, spatial_overlap=8, tile_batch=3)
    codec, codec2 = CausalCodec(), CausalCodec()
    tiles.check(codec)
    tiled_in_space = 1 if size == 16 else 2  # four tiles of 32, three at a time
    expected, _ = CausalCodec().encode_tile(clip)
    latents = whole(encode_stream(codec, tiles, pieces(clip, [3, 1, 20])))
    np.testing.assert_allclose(latents, expected, rtol=1e-5)
    assert len(codec.shapes) == count * tiled_in_space
    assert {shape[2] for shape in codec.shapes} <= ({29, 32} if count > 1 else {frames})
    decoded = whole(decode_stream(codec2, tiles, pieces(expected, [1, 2])))
    np.testing.assert_allclose(decoded[:, :, :frames], CausalCodec().decode_tile(expected)[0][:, :, :frames], rtol=1e-5)
    assert decoded.shape[2] == codec.frames(expected.shape[2])
    assert len({shape[2] for shape in codec2.shapes}) == 1


def test_windows_of_a_model_with_state_can_share_nothing():
    with pytest.raises(InputError, match="encode_context"):
        list(encode_stream(CausalCodec(), Tiles(), [index_clip(100)]))
    with pytest.raises(InputError, match="decode_overlap"):
        list(decode_stream(CausalCodec(), Tiles(decode_overlap=8), [np.zeros((1, 1, 20, 2, 2), np.float32)]))


def test_tiles_share_a_reference_that_samples_the_whole_frame_clip_by_clip():
    references = []

    class Watching(MeanCodec):
        def encode_tile(self, clip, state=None, reference=None):
            references.append(reference)
            return super().encode_tile(clip)

    clip = np.concatenate((index_clip(9, 64, 200), -index_clip(9, 64, 200)))
    tiles = Tiles(spatial_tile=64, spatial_overlap=16, shared_statistics=True)
    latents = whole(encode_stream(Watching(), tiles, [clip]))
    np.testing.assert_allclose(latents, MeanCodec().encode_tile(clip)[0], atol=1e-5)
    assert len(references) == 2 * 4
    for first, which in ((references[0], 0), (references[4], 1)):
        assert first.shape == (1, 3, 9, 64, 64)
        np.testing.assert_allclose(first.mean((0, 3, 4)), clip[which].mean((2, 3)), atol=1e-4)
    assert all(reference is references[0] for reference in references[:4])
    references.clear()
    list(encode_stream(Watching(), replace(tiles, shared_statistics=False), [clip]))
    assert references == [None] * 4
    references.clear()
    list(encode_stream(Watching(), tiles, [clip[..., :64]]))
    assert references == [None]


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
        assert read[0] <= 8 * sum(piece.shape[2] for piece in taken[0]) + 32 + 1  # a tile, and the next frame
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
        Tiles(**{field: value}).check(MeanCodec())


def test_memory_is_flat_in_the_length_of_a_clip():
    """All buffers are real, the model only averages; tools/measure_memory.py does the same at 3840x2160."""
    peaks = {}
    for frames in (33, 97):
        command = [sys.executable, str(ROOT / "tools/measure_memory.py"), "--one", str(frames), "544", "960"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        peaks[frames] = usage.ru_maxrss
    assert peaks[97] < 1.05 * peaks[33], peaks
    assert peaks[33] > 4 * 32 * 3 * 544 * 960 / 1024, "the buffers are not real"
