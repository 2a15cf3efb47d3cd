"""What each step takes: kinds, order, shares of ranks. No file is read."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from mg.data.config import DataConfig
from mg.data.plan import Position, Sample, Share, choices, plan_steps, replacements, sample_at, step_frames, step_shape
from mg.errors import InputError

SIZES = {"video": 7, "image": 5}
MIXED = DataConfig(video_folder="v", sample_n_frames=9, mixed_image_ratio=0.2)


def plans(steps, config=MIXED, share=Share(1), sizes=SIZES, position=Position()):  # noqa: B008
    return list(islice(plan_steps(config, sizes, 1, share, position), steps))


def test_the_kind_of_a_step_is_a_function_of_seed_and_number_and_images_have_their_share():
    shapes = [step_frames(MIXED, 3, number) for number in range(4000)]
    assert set(shapes) == {1, 9}
    assert abs(shapes.count(1) / 4000 - 0.2) < 0.03
    assert shapes[100:110] == [step_frames(MIXED, 3, number) for number in range(100, 110)]
    assert shapes != [step_frames(MIXED, 4, number) for number in range(4000)]


def test_moving_images_have_their_share_of_the_clips_and_leave_everything_else_as_it_was():
    config = replace(MIXED, moving_image_ratio=0.25)
    samples, before = ([plan.samples[0][0] for plan in plans(2000, of)] for of in (config, MIXED))
    clips = [sample for sample in samples if sample.shape[0] == 9]
    assert abs(sum(sample.source == "image" for sample in clips) / len(clips) - 0.25) < 0.04
    assert [sample.shape[0] for sample in samples] == [sample.shape[0] for sample in before]
    own = [sample for sample in samples if sample.source == "image"]
    assert [(s.epoch, s.index) for s in own] == [sample_at(1, "image", SIZES["image"], p) for p in range(len(own))]


def test_random_lengths_come_from_the_buckets_alike():
    config = DataConfig(video_folder="v", mixed_strategy="mixed_video_random", frame_buckets=(1, 5, 17))
    shapes = [step_frames(config, 0, number) for number in range(3000)]
    assert set(shapes) == {1, 5, 17}
    assert min(shapes.count(length) for length in (1, 5, 17)) > 900


@pytest.mark.parametrize("strategy, frames", [("video_only", 9), ("image_only", 1)])
def test_one_kind_only(strategy, frames):
    config = DataConfig(video_folder="v", mixed_strategy=strategy, sample_n_frames=9)
    assert {step_frames(config, 0, number) for number in range(50)} == {frames}


def test_sizes_come_from_their_buckets_alike_and_change_nothing_else():
    sizes = ((32, 48), (48, 32), (40, 40))
    config = replace(MIXED, size_buckets=sizes)
    shapes = [step_shape(config, 3, number) for number in range(3000)]
    assert {shape[1:] for shape in shapes} == set(sizes)
    assert min(sum(shape[1:] == size for shape in shapes) for size in sizes) > 900
    assert [shape[0] for shape in shapes] == [step_frames(MIXED, 3, number) for number in range(3000)]
    assert {step_shape(MIXED, 3, number)[1:] for number in range(50)} == {(256, 256)}
    for plan, before in zip(plans(100, config, Share(2, 2)), plans(100, share=Share(2, 2))):
        samples, others = sum(plan.samples, ()), sum(before.samples, ())
        assert {sample.shape for sample in samples} == {plan.shape} == {step_shape(config, 1, plan.number)}
        assert [(s.source, s.epoch, s.index) for s in samples] == [(s.source, s.epoch, s.index) for s in others]


def test_long_clips_have_small_frames_and_short_ones_large():
    sizes = ((32, 48), (64, 64))
    config = replace(MIXED, size_buckets=sizes, most_pixels=9 * 32 * 48)
    shapes = [step_shape(config, 3, number) for number in range(500)]
    assert {shape[1:] for shape in shapes if shape[0] == 9} == {sizes[0]}
    assert {shape[1:] for shape in shapes if shape[0] == 1} == {sizes[1]}


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
        assert {sample.shape[0] for sample in own} == {frames}
    assert len([s for s in samples if s.source == "image"]) > 20


def test_without_images_single_frames_come_from_the_sequence_of_videos():
    last = plans(100, sizes={"video": 7, "image": 0})[-1].position
    assert (last.step, last.videos, last.images) == (100, 100, 0)


@pytest.mark.parametrize("micro", [1, 3])
def test_all_ranks_together_see_what_one_sees_with_their_batches_together(micro):
    together = plans(20, share=Share(4, micro))
    parts = [plans(20, share=Share(2, micro, rank, ranks=2)) for rank in (0, 1)]
    for whole, first, second in zip(together, *parts):
        assert whole.samples == tuple(a + b for a, b in zip(first.samples, second.samples))
        assert whole.position == first.position == second.position


def test_micro_batches_together_are_one_large_batch():
    for large, small in zip(plans(20, share=Share(6)), plans(20, share=Share(2, 3))):
        assert large.samples[0] == sum(small.samples, ())


def test_from_a_position_the_plan_goes_on():
    through = plans(30, share=Share(2))
    position = Position.from_dict(through[11].position.as_dict())
    assert plans(18, share=Share(2), position=position) == through[12:]


def test_positions_of_a_damaged_checkpoint_are_refused():
    for wrong in ({"step": 1}, {"step": 1, "videos": 2, "images": -1}, {"step": 1.5, "videos": 2, "images": 0}):
        with pytest.raises(InputError, match="damaged"):
            Position.from_dict(wrong)


def test_replacements_are_all_others_and_choices_differ_by_epoch_sample_and_attempt():
    shape = (9, 16, 16)
    sample = Sample("video", 2, 3, shape)
    assert sorted(replacements(0, sample, 7)) == [0, 1, 2, 4, 5, 6]
    np.testing.assert_array_equal(replacements(0, sample, 7), replacements(0, sample, 7))
    others = [("video", 3, 3), ("video", 2, 4), ("image", 2, 3)]
    drawn = [choices(0, sample, 0), choices(0, sample, 1), *(choices(0, Sample(*other, shape), 0) for other in others)]
    numbers = [generator.random() for generator in drawn]
    assert len(set(numbers)) == 5
    assert numbers[0] == choices(0, Sample("video", 2, 3, (1, 32, 32)), 0).random()
