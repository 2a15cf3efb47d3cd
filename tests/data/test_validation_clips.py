"""Validation clips: all of them, always the same, failures among them."""

import numpy as np
from clips import index_clip, index_image, indices

from mg.data.config import DataConfig
from mg.data.validation import validation_clips
from mg.io.pixels import to_clip


def test_first_frames_of_every_file_and_failures_by_name(tmp_path):
    index_clip(tmp_path / "a.mp4", 12)
    index_clip(tmp_path / "b.mp4", 3, 48, 32)
    (tmp_path / "c.mp4").write_text("no video")
    index_image(tmp_path / "d.png", 20)
    config = DataConfig(
        video_folder=tmp_path, sample_n_frames=4, sample_stride=2, image_size=(24, 16), random_crop=True, flip=True
    )
    clips = list(validation_clips(config))
    assert [clip.path.name for clip in clips] == ["a.mp4", "b.mp4", "c.mp4", "d.png"]
    assert [clip.path for clip in validation_clips(config, 1, 3)] == [tmp_path / "b.mp4"]
    assert clips[2].frames is None
    assert "c.mp4" in clips[2].reason
    good = [clip for clip in clips if clip.reason is None]
    assert [indices(to_clip(clip.frames)) for clip in good] == [[0, 2, 4, 6], [0, 2], [20]]
    assert {clip.frames.shape[1:] for clip in good} == {(24, 16, 3)}
    for clip, again in zip(clips, validation_clips(config)):
        np.testing.assert_array_equal(clip.frames, again.frames)


def test_image_only_takes_the_first_frame_where_there_is_no_image(tmp_path):
    index_clip(tmp_path / "a.mp4", 5, first=2)
    config = DataConfig(video_folder=tmp_path, mixed_strategy="image_only", image_size=16)
    assert [indices(to_clip(clip.frames)) for clip in validation_clips(config)] == [[2]]
