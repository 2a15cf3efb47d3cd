"""One clip out of one file: how often it is opened, and that the first reading gives what later ones give."""

from bisect import bisect_right
from dataclasses import replace

import barcode
import numpy as np
from clips import LEVELS, index_clip, index_image
from openings import count_openings

from mg.data.clip import read_training_clip, read_validation_clip
from mg.data.config import DataConfig
from mg.io import by_number
from mg.io.index import STORE, Store
from mg.io.reader import Video

CONFIG = DataConfig(video_folder="v", sample_n_frames=5, image_size=(24, 16))
SHAPE = (5, 24, 16)


def read(path, seed=0, shape=SHAPE):
    clip, short = read_training_clip(path, shape, CONFIG, np.random.default_rng(seed))
    assert clip.shape == (*shape, 3) and not short
    return clip


def test_a_video_is_opened_and_looked_through_once_and_then_read_where_it_is_needed(tmp_path, monkeypatch):
    path = index_clip(tmp_path / "a.mp4", 20, 64, 64)
    counts = count_openings(monkeypatch)
    first = read(path)
    assert counts == {"pyav": 1, "decoded": 20, "frames": 5}
    np.testing.assert_array_equal(read(path), first)
    read(path, seed=1)
    assert counts == {"pyav": 3, "decoded": 20, "frames": 15}


def test_what_a_video_holds_is_found_in_the_folder_that_was_named(tmp_path, monkeypatch):
    path, config = index_clip(tmp_path / "a.mp4", 20, 64, 64), replace(CONFIG, index_folder=str(tmp_path / "index"))
    clips = []
    for decoded in (20, 0):
        monkeypatch.setattr(by_number, "STORE", Store())  # as in a new process
        counts = count_openings(monkeypatch)
        clips.append(read_training_clip(path, SHAPE, config, np.random.default_rng(0))[0])
        assert counts["decoded"] == decoded
        assert len(list((tmp_path / "index").iterdir())) == 1
    np.testing.assert_array_equal(*clips)
    (file,) = (tmp_path / "index").iterdir()
    file.write_bytes(b"damaged")
    monkeypatch.setattr(by_number, "STORE", Store())
    np.testing.assert_array_equal(read_training_clip(path, SHAPE, config, np.random.default_rng(0))[0], clips[0])


def test_with_a_stride_clips_that_vary_are_taken_in_time(tmp_path):
    """Two frames a mean frame apart are 2 of the first 24 frames, of 40 ms, and one of the last 8, of 400 ms."""
    times = [*range(0, 960, 40), *range(960, 960 + 8 * 400, 400)]
    path = barcode.write(tmp_path / "a.mp4", "h264", frames=list(map(barcode.picture, range(32))), times=times)
    seen = set()
    for seed in range(20):
        config = replace(CONFIG, sample_n_frames=4, sample_stride=2, image_size=(96, 160))
        clip, short = read_training_clip(path, (4, 96, 160), config, np.random.default_rng(seed))
        numbers = barcode.numbers(clip)
        start = times[numbers[0]] / 1000
        with Video(path) as video:
            timing = STORE.find(video).timing(path)
        shown = [start + k * 2 / timing.fps for k in range(4)]
        assert numbers == [bisect_right(times, round(1000 * float(at), 6)) - 1 for at in shown] and not short
        seen.add(numbers[0])
    assert len(seen) > 3


def test_strides_are_drawn_from_those_at_which_a_clip_fits(tmp_path):
    path, config = index_clip(tmp_path / "a.mp4", 20, 64, 64), replace(CONFIG, stride_buckets=(2, 1, 4))
    for frames, expected in ((5, {1, 2, 4}), (10, {1, 2}), (20, {1}), (30, {1})):
        steps = set()
        for seed in range(20):
            clip, short = read_training_clip(path, (frames, 24, 16), config, np.random.default_rng(seed))
            numbers = clip.mean((1, 2, 3)) // LEVELS
            steps.add(numbers[1] - numbers[0])
            assert short == (frames > 20)
        assert steps == expected


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
    assert counts == {"pyav": 1, "decoded": 6, "frames": 5}


def test_a_file_that_was_replaced_is_looked_at_anew(tmp_path):
    path = index_clip(tmp_path / "a.mp4", 20, 64, 64)
    read(path)
    index_clip(path, 5, 64, 64, first=20)
    assert abs(read(path)[0].mean() - (20 * LEVELS + LEVELS // 2)) < 2
