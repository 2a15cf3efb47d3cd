"""The TAE in tiles and streams. Tiling itself is tested in tests/models/tiling."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import FOUR_LEVELS, NANO, graphs, random_clip, randomise

from mg.errors import InputError
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.tiling.stream import encode_stream
from mg.models.tiling.tiles import Tiles

pytestmark = pytest.mark.usefixtures("uncompiled")
TILES = {
    **{"encode_tile": 4, "encode_context": 2, "decode_tile": 4, "decode_overlap": 2},
    **{"spatial_tile": 16, "spatial_overlap": 8},
}
SMALL_TILES = {**TILES, "encode_tile": 2, "spatial_overlap": 2}


def watched(tiles):
    """A nano model with such tiles, and the list of the shapes of which it has been given tiles."""
    tae, shapes = randomise(TemporalAutoencoder(NANO, **tiles)), []
    encode, decode = tae.encode_tile, tae.decode_tile
    tae.encode_tile = lambda clip, *more: shapes.append(clip.shape) or encode(clip, *more)
    tae.decode_tile = lambda latents, *more: shapes.append(latents.shape) or decode(latents, *more)
    return tae, shapes


@pytest.fixture(scope="module")
def tiled():
    return watched(TILES)


@pytest.fixture(scope="module")
def small_tiles():
    return watched(SMALL_TILES)


@pytest.mark.parametrize("frames, encoded, decoded", [(10, 2, 4), (11, 3, 5), (25, 6, 12)])
def test_one_graph_serves_all_tiles_of_any_length_and_streams_are_equal(tiled, frames, encoded, decoded):
    tae, shapes = tiled
    shapes.clear()
    x = random_clip(1, 3, frames, 20, 16)
    with graphs():
        recon, z, mean, logvar = tae(x, seed=3)
        streamed = list(tae.encode_stream((x[:, :, t] for t in range(frames)), seed=3))
        frames_again = [piece.asnumpy() for piece in tae.decode_stream(z for z, _, _ in streamed)]
    assert tae.graphs == 2
    assert recon.shape == x.shape
    assert np.isfinite(recon.asnumpy()).all()
    assert z.shape == (1, 4, -(-frames // 2), 10, 8)
    assert shapes.count((1, 3, 8, 16, 16)) == 2 * 2 * encoded  # 4 frames and a context of 2 on either side
    assert shapes.count((1, 4, 2, 8, 8)) == 2 * 2 * decoded
    assert len(shapes) == 2 * 2 * (encoded + decoded)  # once for the call, once for the streams
    for whole, pieces in zip((z, mean, logvar), zip(*streamed)):
        np.testing.assert_array_equal(np.concatenate([piece.asnumpy() for piece in pieces], 2), whole.asnumpy())
    np.testing.assert_array_equal(np.concatenate(frames_again, 2)[:, :, :frames, :20], recon.asnumpy())


def test_what_fits_into_a_tile_is_not_tiled(tiled, random_nano):
    tae, _ = tiled
    x = random_clip(1, 3, 4, 16, 16)
    for a, b in zip(tae(x, seed=0), random_nano(x, seed=0)):
        np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=1e-6)


def test_images_are_tiled_in_space(tiled):
    tae, _ = tiled
    recon, z, _, _ = tae(random_clip(1, 3, 20, 16), seed=0)
    assert recon.shape == (1, 3, 20, 16)
    assert z.shape == (1, 4, 10, 8)


@pytest.mark.parametrize(
    "frames, height, width",
    [
        *((1, 16, 16), (1, 33, 17), (2, 16, 16), (3, 17, 40), (4, 16, 31)),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((5, 33, 16), (9, 20, 25), (10, 40, 16))),
    ],
)
def test_odd_everything(small_tiles, frames, height, width):
    """Tile equal to the clip, one-frame tails, odd sizes: the same shape comes back, and the stream's numbers."""
    tae, shapes = small_tiles
    x = random_clip(1, 3, frames, height, width)
    recon, _, mean, _ = tae(x, seed=1)
    assert recon.shape == x.shape
    assert mean.shape == (1, 4, *(-(-side // 2) for side in x.shape[2:]))
    assert np.isfinite(recon.asnumpy()).all()
    latents, means, _ = zip(*tae.encode_stream((x[:, :, t] for t in range(frames)), seed=1))
    np.testing.assert_array_equal(np.concatenate([piece.asnumpy() for piece in means], 2), mean.asnumpy())
    pieces = [piece.asnumpy() for piece in tae.decode_stream(latents)]
    np.testing.assert_array_equal(np.concatenate(pieces, 2)[:, :, :frames, :height, :width], recon.asnumpy())
    assert len(set(shapes)) <= 8  # of all these clips: a graph each


@pytest.mark.parametrize("frames, height, width", [(5, 20, 30), (31, 16, 16)])
def test_a_tile_larger_than_the_clip_changes_nothing(random_nano, frames, height, width):
    x = random_clip(1, 3, frames, height, width)
    assert random_nano.use_tile
    in_tiles = random_nano(x, seed=1)
    random_nano.use_tile = False
    try:
        for a, b in zip(in_tiles, random_nano(x, seed=1)):
            np.testing.assert_allclose(a.asnumpy(), b.asnumpy(), atol=1e-6)
    finally:
        random_nano.use_tile = True


def test_tiles_are_checked_when_set(random_nano):
    before = random_nano.tiles
    with pytest.raises(InputError, match="spatial_overlap=32 must be less than spatial_tile=32"):
        random_nano.tiles = Tiles(spatial_tile=32, spatial_overlap=32)
    assert random_nano.tiles == before


def test_bad_pieces_are_refused(tiled):
    tae, _ = tiled
    with pytest.raises(InputError, match="empty"):
        next(tae.encode_stream([]))
    with pytest.raises(InputError, match="one size"):
        list(tae.encode_stream([random_clip(1, 3, 16, 16), random_clip(1, 3, 16, 24)]))
    with pytest.raises(InputError, match="at least 16"):
        next(tae.encode_stream([random_clip(1, 3, 8, 16)]))


def test_a_twin_normalises_the_batch_by_its_first_clip(random_nano):
    x, y = (random_clip(1, 3, 9, 16, 16, seed=seed).asnumpy() * scale for seed, scale in ((0, 0.9), (1, 0.3)))
    alone, _ = random_nano.encode_tile(x)
    itself, _ = random_nano.encode_tile(x, None, x)
    np.testing.assert_allclose(itself, alone, atol=1e-5)
    by_other, _ = random_nano.encode_tile(x, None, y)
    both, _ = random_nano.encode_tile(np.concatenate((x, y)), None, y)
    np.testing.assert_allclose(both[:1], by_other, atol=1e-5)
    np.testing.assert_allclose(both[1:], random_nano.encode_tile(y)[0], atol=1e-5)
    assert np.abs(by_other - alone).max() > 0.01


def test_a_twin_has_the_weights_of_its_model():
    tae = randomise(TemporalAutoencoder(NANO))
    z = random_clip(1, 4, 1, 2, 2).asnumpy()
    before, _ = tae.decode_tile(z, 2, None, z)
    randomise(tae, seed=1)
    after, _ = tae.decode_tile(z, 2, None, z)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(after, tae.decode_tile(z, 2)[0], atol=1e-5)
    assert len(tae.trainable_params()) == len(TemporalAutoencoder(NANO).trainable_params())


def test_shared_statistics_bring_tiles_closer_to_the_whole():
    """A frame that is dark and flat on one side, bright and rough on the other."""
    tae = randomise(TemporalAutoencoder(FOUR_LEVELS))
    rough = np.linspace(0, 1, 64, dtype=np.float32) * random_clip(1, 3, 8, 32, 64).asnumpy()
    clip = 0.5 * rough + np.linspace(-0.5, 0.5, 64, dtype=np.float32)
    whole, _ = tae.encode_tile(clip)
    tiles = Tiles(encode_tile=8, spatial_tile=32, spatial_overlap=16)
    errors = {}
    for shared in (False, True):
        ((latents),) = encode_stream(tae, replace(tiles, shared_statistics=shared), [clip])
        errors[shared] = np.sqrt(np.mean((latents - whole) ** 2))
    assert errors[True] < 0.6 * errors[False], errors
