"""Training steps from real files: frames, crops, short and bad clips, ranks, resume, threads."""

import logging
import signal
import subprocess
import sys
import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
from clips import index_clip, index_image, indices
from conftest import ROOT

from mg.data.config import DataConfig
from mg.data.loader import TrainingData
from mg.data.plan import Position, Share, sample_at
from mg.errors import InputError
from mg.io.video import write_video

FRAMES = 12
SMALL = {"sample_n_frames": 5, "image_size": (24, 16), "num_workers": 2, "mixed_image_ratio": 0.3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six clips, of which each has grey values of its own, landscape and portrait."""
    path = tmp_path_factory.mktemp("videos")
    for number, size in enumerate([(32, 48), (48, 32), (32, 32), (33, 47), (40, 64), (64, 40)]):
        index_clip(path / f"{number}.mp4", FRAMES, *size, first=3 * number)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    for index in range(5):
        index_image(path / f"{index}.png", 20 + index)
    return path


def take(count, config, seed=0, batch=2, position=None, bad_files=(), **share):
    with closing(iter(TrainingData(config, seed, Share(batch, **share), position, bad_files))) as steps:
        return list(islice(steps, count))


def assert_same(steps, others):
    assert len(steps) == len(others) > 0
    for step, other in zip(steps, others):
        assert (step.number, step.kind, step.position, step.short) == (
            other.number, other.kind, other.position, other.short
        )  # fmt: skip
        assert (step.replaced, step.bad) == (other.replaced, other.bad)
        for clip, other_clip in zip(step.clips, other.clips):
            np.testing.assert_array_equal(clip, other_clip)


def test_clips_have_the_shape_range_and_layout_that_is_promised(folder, images):
    steps = take(12, DataConfig(video_folder=folder, image_folder=images, **SMALL), micro_batches=2)
    assert {step.kind for step in steps} == {"video", "image"}
    assert [step.number for step in steps] == list(range(12))
    for step in steps:
        assert len(step.clips) == 2
        for clip in step.clips:
            assert clip.shape == (2, 3, 5 if step.kind == "video" else 1, 24, 16)
            assert clip.dtype == np.float32
            assert clip.flags.c_contiguous
            assert -1 <= clip.min() < clip.max() <= 1
    assert steps[-1].position.step == 12
    assert steps[-1].position.videos + steps[-1].position.images == 48


@pytest.mark.parametrize("stride", [1, 2])
def test_frames_are_strided_from_every_start_that_fits_and_an_epoch_covers_the_files(folder, stride):
    config = DataConfig(video_folder=folder, mixed_strategy="video_only", sample_stride=stride, **SMALL)
    starts = set()
    for step in take(60, config, batch=1):
        _, number = sample_at(0, "video", 6, step.number)
        shown = [index - 3 * number for index in indices(step.clips[0][0])]
        assert shown == list(range(shown[0], shown[0] + 5 * stride, stride))
        starts.add(shown[0])
    assert starts == set(range(FRAMES - 4 * stride))


def test_moving_images_are_clips_of_image_files(folder, images):
    config = DataConfig(video_folder=folder, image_folder=images, moving_image_ratio=0.5, **SMALL)
    steps = take(40, config, batch=1)
    shown = [indices(step.clips[0][0]) for step in steps if step.kind == "video"]
    assert all(len(clip) == 5 for clip in shown)
    still = [clip for clip in shown if len(set(clip)) == 1]
    assert 5 < len(still) < len(shown) - 5 and {clip[0] for clip in still} <= set(range(20, 25))
    assert not any(step.short for step in steps)
    assert_same(take(40, config, batch=1), steps)


def test_moving_images_need_images(folder):
    with pytest.raises(InputError, match="there is no image; give image_folder"):
        take(1, DataConfig(video_folder=folder, moving_image_ratio=0.5, **SMALL))


def test_image_steps_take_image_files_or_else_one_frame_of_any_place(folder, images):
    config = DataConfig(image_folder=images, mixed_strategy="image_only", **SMALL)
    shown = [indices(clip)[0] for step in take(5, config, batch=1) for clip in step.clips[0]]
    assert sorted(shown) == [20, 21, 22, 23, 24]
    config = DataConfig(video_folder=folder, mixed_strategy="image_only", **SMALL)
    places = set()
    for step in take(90, config, batch=1):
        assert step.kind == "image"
        places.add(indices(step.clips[0][0])[0] - 3 * sample_at(0, "video", 6, step.number)[1])
    assert places == set(range(FRAMES))


def test_lengths_from_buckets(folder):
    config = DataConfig(video_folder=folder, mixed_strategy="mixed_video_random", frame_buckets=(1, 3, 7), **SMALL)
    steps = take(25, config, batch=1)
    assert {(step.kind, step.clips[0].shape[2]) for step in steps} == {("image", 1), ("video", 3), ("video", 7)}


def test_sizes_from_buckets_are_one_for_all_micro_batches_and_ranks_of_a_step(folder, images):
    config = {"video_folder": folder, "image_folder": images, "random_crop": True, **SMALL}
    sizes = ((24, 16), (16, 24), (32, 32))
    steps = take(30, DataConfig(size_buckets=sizes, **config), micro_batches=2)
    assert {step.clips[0].shape[3:] for step in steps} == set(sizes)
    assert all(len({clip.shape for clip in step.clips}) == 1 for step in steps)
    part = take(30, DataConfig(size_buckets=sizes, **config), batch=1, micro_batches=2, rank=1, ranks=2)
    for step, other in zip(steps, part):
        for clip, half in zip(step.clips, other.clips):
            np.testing.assert_array_equal(clip[1:], half)
    assert_same(take(5, DataConfig(size_buckets=(SMALL["image_size"],), **config)), take(5, DataConfig(**config)))


def test_two_ranks_see_what_one_process_sees(folder, images):
    config = DataConfig(video_folder=folder, image_folder=images, random_crop=True, flip=True, **SMALL)
    whole = take(8, config, batch=4, micro_batches=2)
    parts = [take(8, config, batch=2, micro_batches=2, rank=rank, ranks=2) for rank in (0, 1)]
    for one, first, second in zip(whole, *parts):
        assert one.position == first.position == second.position
        for clip, *halves in zip(one.clips, first.clips, second.clips):
            np.testing.assert_array_equal(clip, np.concatenate(halves))


def test_resuming_gives_the_same_steps(folder, images):
    config = DataConfig(video_folder=folder, image_folder=images, random_crop=True, flip=True, **SMALL)
    through = take(14, config)
    position = Position.from_dict(through[5].position.as_dict())
    assert_same(take(8, config, position=position), through[6:])


def test_the_number_of_threads_changes_nothing(damaged):
    config = {"video_folder": damaged, "random_crop": True, "flip": True, "max_bad_share": 0.5, **SMALL}
    runs = [take(20, DataConfig(**{**config, "num_workers": workers})) for workers in (1, 2, 7)]
    assert_same(runs[0], runs[1])
    assert_same(runs[0], runs[2])
    assert sum(step.replaced for step in runs[0]) > 2


def test_short_clips_repeat_their_last_frame_and_are_counted(tmp_path):
    index_clip(tmp_path / "short.mp4", 3)
    config = DataConfig(video_folder=tmp_path, mixed_strategy="video_only", **SMALL)
    step = take(1, config)[0]
    assert [indices(clip) for clip in step.clips[0]] == [[0, 1, 2, 2, 2]] * 2
    assert step.short == 2
    config = DataConfig(video_folder=tmp_path, mixed_strategy="video_only", sample_stride=2, **SMALL)
    step = take(1, config, batch=1)[0]
    assert indices(step.clips[0][0]) == [0, 2, 2, 2, 2]
    assert take(1, DataConfig(video_folder=tmp_path, mixed_strategy="image_only", **SMALL))[0].short == 0


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
    """A clip that is brighter to the right and below, and does not move."""
    path = tmp_path_factory.mktemp("gradients") / "a.mp4"
    y, x = np.mgrid[:48, :64]
    frame = np.repeat((2 * x + y).astype(np.uint8)[..., None], 3, -1)
    with write_video(path, 24) as file:
        for _ in range(8):
            file.write(frame)
    return path.parent


def test_a_crop_of_larger_frames_shows_less_of_them(gradients):
    strategy = {"video_folder": gradients, "mixed_strategy": "video_only", **SMALL}

    def spread(**more):
        clips = [step.clips[0][0] for step in take(12, DataConfig(**strategy, **more), batch=1)]
        return [float(np.ptp(clip[0, 0])) for clip in clips], {float(clip.mean()) for clip in clips}

    (whole, *_), _ = spread()
    shown, places = spread(resize_to=48)
    assert max(shown) - min(shown) < 0.05
    assert max(shown) < 0.6 * whole
    assert len(places) == 1  # the centre
    shown, places = spread(resize_to=[24, 48], random_crop=True)
    assert max(shown) - min(shown) > 0.15
    assert len(places) > 5


def test_one_crop_and_flip_for_all_frames_of_a_clip(gradients):
    config = DataConfig(video_folder=gradients, mixed_strategy="video_only", random_crop=True, flip=True, **SMALL)
    means, directions = set(), []
    for step in take(24, config, batch=1):
        clip = step.clips[0][0, 0]
        assert np.abs(clip - clip[:1]).max() < 0.06
        means.add(round(float(clip.mean()), 2))
        directions.append(clip[0, :, -1].mean() > clip[0, :, 0].mean())
        assert clip[0, -1].mean() > clip[0, 0].mean()
    assert len(means) > 5
    assert 5 < sum(directions) < 19


def test_without_crop_and_flip_every_clip_is_the_centre(gradients):
    config = DataConfig(video_folder=gradients, mixed_strategy="video_only", **SMALL)
    for step in take(5, config, batch=1):
        assert step.clips[0][0, 0, 0, :, -1].mean() > step.clips[0][0, 0, 0, :, 0].mean()
        assert abs(float((step.clips[0].mean() + 1) * 127.5) - (2 * 31.5 + 23.5)) < 2


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Ten good clips, one that is no video and one whose pictures are damaged after the first few."""
    path = tmp_path_factory.mktemp("damaged")
    for number in range(10):
        index_clip(path / f"{number}.mp4", 6, first=2 * number)
    (path / "text.mp4").write_text("no video")
    with write_video(path / "noise.mp4", 24) as file:
        for frame in np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8):
            file.write(frame)
    content = bytearray((path / "noise.mp4").read_bytes())
    content[len(content) // 8 :] = bytes(len(content) - len(content) // 8)
    (path / "noise.mp4").write_bytes(content)
    return path


def test_bad_clips_are_named_once_counted_and_replaced(damaged, caplog):
    config = DataConfig(video_folder=damaged, mixed_strategy="video_only", max_bad_share=0.2, **SMALL)
    with caplog.at_level(logging.WARNING):
        steps = take(18, config)
    bad = {path: reason for step in steps for path, reason in step.bad.items()}
    assert set(bad) == {str(damaged / "text.mp4"), str(damaged / "noise.mp4")}
    assert all(path in reason for path, reason in bad.items())
    assert sum(len(step.bad) for step in steps) == 2
    assert [sum(path in record.getMessage() for record in caplog.records) for path in bad] == [1, 1]
    assert sum(step.replaced for step in steps) == 2 * 3  # each comes up once in each of three epochs
    assert all(clip.shape == (2, 3, 5, 24, 16) for step in steps for clip in step.clips)


def test_what_earlier_runs_found_is_not_reported_again_and_changes_no_clip(damaged, caplog):
    config = DataConfig(video_folder=damaged, mixed_strategy="video_only", max_bad_share=0.2, **SMALL)
    through = take(12, config)
    known = [path for step in through for path in step.bad]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        again = take(6, config, position=through[5].position, bad_files=known)
    assert not caplog.records
    assert [step.bad for step in again] == [{}] * 6
    for step, other in zip(again, through[6:]):
        np.testing.assert_array_equal(step.clips[0], other.clips[0])


def test_too_many_bad_files_end_it_once_ten_were_tried(damaged):
    config = DataConfig(video_folder=damaged, mixed_strategy="video_only", max_bad_share=0.1, **SMALL)
    data = TrainingData(config, 0, Share(1))
    with pytest.raises(InputError, match=r"2 of the 1\d files .* more than max_bad_share=0.1") as error:
        for _ in data:
            pass
    assert "text.mp4" in str(error.value)
    assert "noise.mp4" in str(error.value)
    assert set(data.bad_files) == {str(damaged / "text.mp4"), str(damaged / "noise.mp4")}


def test_missing_files_of_a_csv_count_as_bad_and_all_bad_ends_at_once(tmp_path):
    index_clip(tmp_path / "good.mp4", 6)
    (tmp_path / "some.csv").write_text("video\ngone.mp4\ngood.mp4\n")
    config = DataConfig(csv_path=tmp_path / "some.csv", video_folder=tmp_path, max_bad_share=0.5, **SMALL)
    steps = take(4, config, batch=1)
    assert {path for step in steps for path in step.bad} == {str(tmp_path / "gone.mp4")}
    (tmp_path / "none.csv").write_text("video\n" + "".join(f"{number}.mp4\n" for number in range(300)))
    for share in (0.1, 1.0):
        config = DataConfig(csv_path=tmp_path / "none.csv", video_folder=tmp_path, max_bad_share=share, **SMALL)
        with pytest.raises(InputError, match=r"cannot be read"):
            take(1, config)


def test_closing_ends_the_threads(folder):
    before = threading.active_count()
    steps = iter(TrainingData(DataConfig(video_folder=folder, **SMALL), 0, Share(1)))
    next(steps)
    assert threading.active_count() > before
    steps.close()
    assert threading.active_count() == before


def test_an_interrupt_does_not_hang(folder):
    program = f"""
from mg.data.config import DataConfig
from mg.data.loader import TrainingData
from mg.data.plan import Share
for step in TrainingData(DataConfig(video_folder={str(folder)!r}, image_size=16), 0, Share(1)):
    print(step.number, flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whatever a shell starts in the background ignores SIGINT, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "0\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in errors


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"batch": 0}, {"micro_batches": 0}, {"rank": 2, "ranks": 2}, {"ranks": 0}, {"batch": 1.5}]
)
def test_impossible_shares_are_refused(folder, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        take(1, DataConfig(video_folder=folder, **SMALL), **wrong)
