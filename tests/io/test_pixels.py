import numpy as np

from mg.io.pixels import to_clip, to_frames


def test_every_level_comes_back():
    frames = np.arange(256 * 3, dtype=np.int64).reshape(1, 16, 16, 3).astype(np.uint8)
    clip = to_clip(frames)
    assert clip.shape == (3, 1, 16, 16)
    assert clip.dtype == np.float32
    assert (clip.min(), clip.max()) == (-1, 1)
    np.testing.assert_array_equal(to_frames(clip), frames)


def test_values_are_clipped_and_rounded_not_truncated():
    clip = np.array([-3.0, -1.0, 1.6 / 127.5 - 1, 0.4 / 127.5 - 1, 1.0, 7.0], np.float32).reshape(1, 1, 1, 6)
    frames = to_frames(np.repeat(clip, 3, 0))
    assert frames.shape == (1, 1, 6, 3)
    assert frames[0, 0, :, 0].tolist() == [0, 0, 2, 0, 255, 255]
