"""One clip out of one file: how often it is opened, and that the first reading gives what later ones give."""

import numpy as np
import pytest
from clips import LEVELS, index_clip, index_image
from openings import count_openings

from mg.data.clip import read_training_clip, read_validation_clip
from mg.data.config import DataConfig
from mg.io import by_number

CONFIG = DataConfig(video_folder="v", sample_n_frames=5, image_size=(24, 16))
SHAPE = (5, 24, 16)


def read(path, seed=0, shape=SHAPE):
    clip, short = read_training_clip(path, shape, CONFIG, np.random.default_rng(seed))
    assert clip.shape == (*shape, 3) and not short
    return clip


@pytest.fixture
def forgetful(monkeypatch):
    """Nothing is known of any file."""
    monkeypatch.setattr(by_number, "_known", {})


@pytest.mark.skipif(by_number._decord() is None, reason="decord is not installed")
def test_a_video_is_opened_once_by_each_reader_and_then_once(tmp_path, monkeypatch, forgetful):
    path = index_clip(tmp_path / "a.mp4", 20, 64, 64)
    counts = count_openings(monkeypatch)
    first = read(path)
    assert counts == {"pyav": 1, "decord": 1, "frames": 2 + 5}  # the first frame of each is compared
    np.testing.assert_array_equal(read(path), first)
    read(path, seed=1)
    assert counts == {"pyav": 1, "decord": 3, "frames": 2 + 15}


@pytest.mark.skipif(by_number._decord() is None, reason="decord is not installed")
def test_a_video_that_decord_reads_otherwise_is_opened_once_after_the_first_time(tmp_path, monkeypatch, forgetful):
    """decord 0.6 gives four channels for frames 48 pixels wide."""
    path = index_clip(tmp_path / "a.mp4", 12, 32, 48)
    counts = count_openings(monkeypatch)
    first = read(path)
    assert (counts["pyav"], counts["decord"]) == (1, 1)
    np.testing.assert_array_equal(read(path), first)
    assert (counts["pyav"], counts["decord"]) == (2, 1)


def test_without_decord_a_video_is_opened_and_decoded_once(tmp_path, monkeypatch, forgetful):
    path = index_clip(tmp_path / "a.mp4", 20, 64, 64)
    monkeypatch.setattr(by_number, "_decord", lambda: None)
    counts = count_openings(monkeypatch)
    for opened in (1, 2):
        last = int(read(path)[-1].mean() // LEVELS)
        assert counts == {"pyav": opened, "frames": opened * (last + 1)}


def test_an_image_is_opened_once(tmp_path, monkeypatch):
    path = index_image(tmp_path / "a.png", 3)
    counts = count_openings(monkeypatch)
    read(path, shape=(1, 24, 16))
    read(path, shape=(3, 24, 16))
    assert counts == {"image": 2}


def test_a_clip_to_validate_with_is_opened_once_and_decoded_no_further_than_needed(tmp_path, monkeypatch):
    path = index_clip(tmp_path / "a.mp4", 20)
    counts = count_openings(monkeypatch)
    assert read_validation_clip(path, 5, CONFIG).shape == (*SHAPE, 3)
    assert counts == {"pyav": 1, "frames": 5}


def test_a_file_that_was_replaced_is_looked_at_anew(tmp_path):
    path = index_clip(tmp_path / "a.mp4", 20, 64, 64)
    read(path)
    index_clip(path, 5, 64, 64, first=20)
    assert abs(read(path)[0].mean() - (20 * LEVELS + LEVELS // 2)) < 2
