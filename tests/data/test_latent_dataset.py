"""Cached latents as items of a MindSpore dataset."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest

from mg.data.latent_dataset import LatentSource
from mg.errors import InputError
from mg.io.latent_index import write_index
from mg.io.latents import Header, Latents, write_latents

HEADER = Header("posterior", "fp32", 40, 16, 16, "24", "a.mp4", None, {}, "ab", 2.0, 0.5)


@pytest.fixture
def cache(tmp_path):
    """Three clips of 5 latent frames; the mean is 100 * clip + latent frame, the deviation 0.01."""
    for clip in range(3):
        mean = np.broadcast_to(np.float32(100 * clip) + np.arange(5, dtype=np.float32)[:, None, None], (4, 5, 2, 2))
        arrays = {"mean": mean, "std": np.full(mean.shape, 0.01, np.float32)}
        write_latents(tmp_path / f"{clip}.safetensors", Latents(HEADER, arrays))
    write_index(tmp_path)
    return tmp_path


def test_items_are_sampled_and_scaled(cache):
    source = LatentSource(cache)
    z = source[1]
    assert (len(source), z.shape, z.dtype) == (3, (4, 5, 2, 2), np.float32)
    expected = (100 + np.arange(5) - 0.5) * 2
    np.testing.assert_allclose(z.mean((0, 2, 3)), expected, atol=0.05)
    noise = LatentSource(cache, scaled=False)[1] - 100 - np.arange(5)[:, None, None]
    assert 0.007 < noise.std() < 0.013


def test_noise_is_of_seed_epoch_and_number_alone(cache):
    first, second = LatentSource(cache), LatentSource(cache)
    backwards = [second[index] for index in (2, 1, 0)][::-1]
    assert all(np.array_equal(first[index], backwards[index]) for index in range(3))
    before = first[0]
    first.epoch = 1
    assert not np.array_equal(first[0], before)
    assert not np.array_equal(LatentSource(cache, seed=1)[0], before)
    assert (first[0] - first[1] + 200).std() > 0.01  # each clip has noise of its own


def test_crops_reach_every_place_and_keep_order(cache):
    source, seen = LatentSource(cache, frames=2, scaled=False), set()
    for source.epoch in range(40):
        first, second = source[0].mean((0, 2, 3)).round().astype(int)
        assert second == first + 1
        seen.add(int(first))
    assert seen == {0, 1, 2, 3}
    with pytest.raises(InputError, match="shorter than frames=6"):
        LatentSource(cache, frames=6)


def test_a_cache_of_several_weights_is_refused(cache):
    arrays = {name: np.zeros((4, 5, 2, 2), np.float32) for name in ("mean", "std")}
    write_latents(cache / "other.safetensors", Latents(replace(HEADER, weights_sha256="cd"), arrays))
    write_index(cache)
    with pytest.raises(InputError, match=r"2 different weights.*other\.safetensors"):
        LatentSource(cache)


def test_a_stored_sample_comes_as_it_is(cache):
    z = np.random.default_rng(0).standard_normal((4, 5, 2, 2)).astype(np.float32)
    write_latents(cache / "0.safetensors", Latents(replace(HEADER, kind="sample"), {"z": z}))
    np.testing.assert_array_equal(LatentSource(cache)[0], (z - np.float32(0.5)) * 2)


def test_factors_are_of_each_channel_where_there_are_several(cache):
    z = np.random.default_rng(0).standard_normal((4, 5, 2, 2)).astype(np.float32)
    scaling, shift = [1.0, 2.0, 4.0, 0.5], [0.0, 1.0, -1.0, 3.0]
    header = replace(HEADER, kind="sample", scaling_factor=scaling, shift_factor=shift)
    write_latents(cache / "0.safetensors", Latents(header, {"z": z}))
    expected = np.stack([(z[c] - np.float32(shift[c])) * np.float32(scaling[c]) for c in range(4)])
    np.testing.assert_array_equal(LatentSource(cache)[0], expected)
    np.testing.assert_array_equal(LatentSource(cache, scaled=False)[0], z)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
def test_codes_come_as_integers_when_they_are_asked_for(cache, dtype):
    codes = np.arange(20, dtype=dtype).reshape(1, 5, 2, 2)
    write_latents(cache / "1.safetensors", Latents(replace(HEADER, kind="codes", dtype=dtype), {"codes": codes}))
    write_index(cache)
    with pytest.raises(InputError, match=r"holds codes.* use codes=True"):
        LatentSource(cache)[1]
    source = LatentSource(cache, codes=True)
    assert source[1].dtype == np.int32
    np.testing.assert_array_equal(source[1], codes)
    with pytest.raises(InputError, match=r"holds posterior, and codes .* use codes=False"):
        source[0]
    header = replace(HEADER, kind="codes", dtype="int64")
    write_latents(cache / "2.safetensors", Latents(header, {"codes": np.full((1, 5, 2, 2), 2**40)}))
    with pytest.raises(InputError, match="31 bits"):
        source[2]
    cut = LatentSource(cache, frames=2, codes=True)[1]
    assert cut.shape == (1, 2, 2, 2) and cut.min() % 4 == 0 and np.ptp(cut) == 7


def test_mindspore_reads_it_as_documented(cache):
    source = LatentSource(cache, frames=4)
    data = ms.dataset.GeneratorDataset(
        source, ["latents"], shuffle=False, num_parallel_workers=2, python_multiprocessing=False
    ).batch(3)
    epochs = []
    for source.epoch in range(2):
        ((z,),) = data.create_tuple_iterator(num_epochs=1)
        np.testing.assert_array_equal(z.asnumpy(), np.stack([source[index] for index in range(3)]))
        epochs.append(z.asnumpy())
    assert epochs[0].shape == (3, 4, 4, 2, 2)
    assert not np.array_equal(*epochs)


def test_a_cache_without_index_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"index\.json"):
        LatentSource(tmp_path)
