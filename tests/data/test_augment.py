"""What is changed of training clips: each setting alone, its share, and that it moves no other choice."""

from dataclasses import replace

import numpy as np
import pytest
from clips import index_clip

from mg.data.augment import augment
from mg.data.clip import read_training_clip
from mg.data.config import DataConfig

PLAIN = DataConfig(video_folder="v", sample_n_frames=5, image_size=(24, 16))
CLIP = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)


def changed(config, seed=0):
    return augment(CLIP, config, np.random.default_rng(seed))


def share(same, config, seeds=400):
    return np.mean([same(changed(config, seed)) for seed in range(seeds)])


def is_grey(clip):
    return bool((clip == clip[..., :1]).all())


def test_without_settings_nothing_is_drawn_and_nothing_changes():
    choices = np.random.default_rng(0)
    assert augment(CLIP, PLAIN, choices) is CLIP
    assert choices.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    "setting, same, expected",
    [
        ({"flip": True}, lambda clip: np.array_equal(clip, CLIP[:, :, ::-1]), 0.5),
        ({"reverse": True}, lambda clip: np.array_equal(clip, CLIP[::-1]), 0.5),
        ({"grey_ratio": 0.25}, is_grey, 0.25),
        ({"grey_ratio": 0.25, "colour_jitter": 0.3}, is_grey, 0.25),
        ({"colour_jitter": 0.3}, lambda clip: np.array_equal(clip, CLIP), 0.0),
    ],
)
def test_each_changes_its_share_of_clips(setting, same, expected):
    assert share(same, replace(PLAIN, **setting)) == pytest.approx(expected, abs=0.06)


def test_it_is_a_function_of_the_choices():
    config = replace(PLAIN, flip=True, reverse=True, grey_ratio=0.2, colour_jitter=0.5)
    np.testing.assert_array_equal(changed(config, 3), changed(config, 3))
    assert any(not np.array_equal(changed(config, 3), changed(config, seed)) for seed in range(4, 8))


def test_what_comes_after_the_crop_leaves_the_crop_as_it_was(tmp_path):
    path, shape = index_clip(tmp_path / "a.mp4", 20, 64, 64), (5, 24, 16)
    config = replace(PLAIN, random_crop=True, flip=True)
    for seed in range(4):
        plain, _ = read_training_clip(path, shape, config, np.random.default_rng(seed))
        later, _ = read_training_clip(path, shape, replace(config, reverse=True), np.random.default_rng(seed))
        assert np.array_equal(later, plain) or np.array_equal(later, plain[::-1])
