"""Frames in tiles, through stand-in codecs."""

from dataclasses import replace

import numpy as np
import pytest
from stand_ins import MeanCodec, index_clip, whole

from mg.models.tiling.stream import decode_stream, encode_stream
from mg.models.tiling.tiles import Tiles


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
        whole(decode_stream(codec, tiles, [expected])), MeanCodec().decode_tile(expected, None)[0], atol=1e-5
    )
    assert len(set(codec.shapes)) == 1


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
