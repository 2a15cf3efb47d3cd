"""What each step takes: kinds, order, shares of ranks. No file is read."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from mg.data.config import DataConfig
from mg.data.plan import Position, Sample, choices, plan_steps, replacements, sample_at, step_shape
from mg.errors import InputError

SIZES = {"video": 7, "image": 5}
MIXED = DataConfig(video_folder="v", sample_n_frames=9, mixed_image_ratio=0.2)


def plans(steps, config=MIXED, sizes=SIZES, seed=1, batch=1, micro=1, rank=0, ranks=1, position=None):
    return list(islice(plan_steps(config, sizes, seed, batch, micro, rank, ranks, position or Position()), steps))


def test_the_kind_of_a_step_is_a_function_of_seed_and_number_and_images_have_their_share():
    shapes = [step_shape(MIXED, 3, number) for number in range(4000)]
    assert set(shapes) == {1, 9}
    assert abs(shapes.count(1) / 4000 - 0.2) < 0.03
    assert shapes[100:110] == [step_shape(MIXED, 3, number) for number in range(100, 110)]
    assert shapes != [step_shape(MIXED, 4, number) for number in range(4000)]


def test_moving_images_have_their_share_of_the_clips_and_leave_everything_else_as_it_was():
    config = replace(MIXED, moving_image_ratio=0.25)
    samples, before = ([plan.samples[0][0] for plan in plans(2000, of)] for of in (config, MIXED))
    clips = [sample for sample in samples if sample.frames == 9]
    assert abs(sum(sample.source == "image" for sample in clips) / len(clips) - 0.25) < 0.04
    assert [sample.frames for sample in samples] == [sample.frames for sample in before]
    own = [sample for sample in samples if sample.source == "image"]
    assert [(s.epoch, s.index) for s in own] == [sample_at(1, "image", SIZES["image"], p) for p in range(len(own))]


def test_random_lengths_come_from_the_buckets_alike():
    config = DataConfig(video_folder="v", mixed_strategy="mixed_video_random", frame_buckets=(1, 5, 17))
    shapes = [step_shape(config, 0, number) for number in range(3000)]
    assert set(shapes) == {1, 5, 17}
    assert min(shapes.count(length) for length in (1, 5, 17)) > 900


@pytest.mark.parametrize("strategy, frames", [("video_only", 9), ("image_only", 1)])
def test_one_kind_only(strategy, frames):
    config = DataConfig(video_folder="v", mixed_strategy=strategy, sample_n_frames=9)
    assert {step_shape(config, 0, number) for number in range(50)} == {frames}


def test_every_epoch_has_each_sample_once_in_another_order():
    epochs = {}
    for place in range(21):
        epoch, index = sample_at(0, "video", 7, place)
        epochs.setdefault(epoch, []).append(index)
    assert [sorted(epochs[e]) for e in (0, 1, 2)] == [list(range(7))] * 3
    assert len({tuple(order) for order in epochs.values()}) == 3
    assert epochs[0] != [sample_at(0, "image", 7, place)[1] for place in range(7)]
    assert epochs[0] != [sample_at(1, "video", 7, place)[1] for place in range(7)]


def test_each_kind_walks_through_its_own_list():
    samples = [plan.samples[0][0] for plan in plans(200)]
    for source, frames in (("video", 9), ("image", 1)):
        own = [sample for sample in samples if sample.source == source]
        assert [(s.epoch, s.index) for s in own] == [sample_at(1, source, SIZES[source], p) for p in range(len(own))]
        assert {sample.frames for sample in own} == {frames}
    assert len([s for s in samples if s.source == "image"]) > 20


def test_without_images_single_frames_come_from_the_sequence_of_videos():
    last = plans(100, sizes={"video": 7, "image": 0})[-1].position
    assert (last.step, last.videos, last.images) == (100, 100, 0)


@pytest.mark.parametrize("micro", [1, 3])
def test_all_ranks_together_see_what_one_sees_with_their_batches_together(micro):
    together = plans(20, batch=4, micro=micro)
    parts = [plans(20, batch=2, micro=micro, rank=rank, ranks=2) for rank in (0, 1)]
    for whole, first, second in zip(together, *parts):
        assert whole.samples == tuple(a + b for a, b in zip(first.samples, second.samples))
        assert whole.position == first.position == second.position


def test_micro_batches_together_are_one_large_batch():
    for large, small in zip(plans(20, batch=6), plans(20, batch=2, micro=3)):
        assert large.samples[0] == sum(small.samples, ())


def test_from_a_position_the_plan_goes_on():
    through = plans(30, batch=2)
    position = Position.from_dict(through[11].position.as_dict())
    assert plans(18, batch=2, position=position) == through[12:]


def test_positions_of_a_damaged_checkpoint_are_refused():
    for wrong in ({"step": 1}, {"step": 1, "videos": 2, "images": -1}, {"step": 1.5, "videos": 2, "images": 0}):
        with pytest.raises(InputError, match="damaged"):
            Position.from_dict(wrong)


def test_replacements_are_all_others_and_choices_differ_by_epoch_sample_and_attempt():
    sample = Sample("video", 2, 3, 9)
    assert sorted(replacements(0, sample, 7)) == [0, 1, 2, 4, 5, 6]
    np.testing.assert_array_equal(replacements(0, sample, 7), replacements(0, sample, 7))
    others = [(sample, 1), (Sample("video", 3, 3, 9), 0), (Sample("video", 2, 4, 9), 0), (Sample("image", 2, 3, 9), 0)]
    drawn = [choices(0, *which).random() for which in [(sample, 0), *others]]
    assert len(set(drawn)) == 5
    assert drawn[0] == choices(0, Sample("video", 2, 3, 1), 0).random()
