"""What a data configuration refuses, and says about it."""

import pytest

from mg.data.config import DataConfig
from mg.errors import InputError


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"mixed_strategy": "videos"}, "mixed_video_random"),
        ({"mixed_strategy": "mixed_video_random"}, "frame_buckets is empty"),
        (
            {"frame_buckets": (0, 9)},
            "frame_buckets=(0, 9) must be a list of values, each a whole number from 1",
        ),
        ({"frame_buckets": 9}, "frame_buckets=9"),
        ({"mixed_image_ratio": 1.5}, "mixed_image_ratio=1.5"),
        ({"mixed_image_ratio": True}, "mixed_image_ratio=True"),
        ({"moving_image_ratio": -0.1}, "moving_image_ratio=-0.1"),
        ({"moving_image_ratio": 0.5, "mixed_strategy": "image_only"}, "of the steps that take videos"),
        ({"max_bad_share": -0.1}, "max_bad_share=-0.1"),
        ({"sample_n_frames": 0}, "sample_n_frames=0"),
        ({"sample_n_frames": 1}, "image_only"),
        ({"sample_stride": 1.5}, "sample_stride=1.5"),
        ({"stride_buckets": (0, 2)}, "stride_buckets=(0, 2)"),
        ({"most_pixels": -1}, "most_pixels=-1"),
        ({"size_buckets": ((64, 96), (128, 64)), "most_pixels": 9000}, "leaves no size for clips of 32 frames"),
        ({"grey_ratio": 1.5}, "grey_ratio=1.5"),
        ({"colour_jitter": -0.5}, "colour_jitter=-0.5"),
        ({"reverse": 1}, "reverse=1"),
        ({"image_size": (64, 64, 3)}, "a list of 2 values, each a whole number from 16"),
        ({"size_buckets": (64, 64)}, "size_buckets=(64, 64) must be a list of values, each a list of 2 values"),
        ({"size_buckets": ((64, 8),)}, "each a whole number from 16 to 16384"),
        ({"size_buckets": ((64, 96), (128, 64)), "resize_to": 96}, "at least 128"),
        ({"image_size": 8}, "image_size=8"),
        ({"image_size": "256"}, "image_size='256'"),
        ({"resize_to": 63}, "resize_to=63"),
        ({"resize_to": (128, 96)}, "from and to"),
        ({"flip": "yes"}, "flip='yes'"),
        ({"num_workers": 0}, "num_workers=0"),
        ({"csv_path": ""}, "csv_path is an empty name"),
        ({"video_folder": None}, "give video_folder"),
        ({"video_folder": None, "csv_path": "a.csv"}, "csv_path is given without video_folder"),
        ({"image_csv_path": "a.csv"}, "image_csv_path is given without image_folder"),
        ({"video_folder": None, "image_folder": "i"}, "give video_folder"),
        ({"image_folder": "i", "mixed_strategy": "video_only"}, "never takes an image"),
        ({"image_folder": "i", "mixed_strategy": "mixed_video_random", "frame_buckets": (5, 9)}, "has no 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(wrong, words):
    with pytest.raises(InputError) as error:
        DataConfig(**{"video_folder": "v", **wrong})
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_lists_and_one_number_become_tuples():
    config = DataConfig(video_folder="v", image_size=64, frame_buckets=[1, 9], mixed_strategy="mixed_video_random")
    assert config.image_size == (64, 64)
    assert config.frame_buckets == (1, 9)
    assert DataConfig(video_folder="v", image_size=[48, 64]).image_size == (48, 64)


def test_size_buckets_are_the_sizes_of_training_clips():
    assert DataConfig(video_folder="v", image_size=64).sizes == ((64, 64),)
    config = DataConfig(video_folder="v", image_size=512, size_buckets=[[64, 96], [96, 64]], resize_to=(96, 128))
    assert config.sizes == ((64, 96), (96, 64))


def test_clips_take_the_largest_sizes_at_which_they_fit():
    sizes, lengths = ((64, 64), (96, 96), (128, 192), (192, 128)), (16, 1, 32, 16)
    config = DataConfig(
        video_folder="v",
        mixed_strategy="mixed_video_random",
        frame_buckets=lengths,
        size_buckets=sizes,
        most_pixels=16 * 96 * 96,
    )
    assert config.lengths == (1, 16, 32)
    assert [config.sizes_of(frames) for frames in config.lengths] == [sizes[2:], sizes[1:2], sizes[:1]]


def test_images_alone_need_no_videos():
    config = DataConfig(image_folder="i", mixed_strategy="image_only")
    assert config.takes_images
    assert not config.takes_videos
