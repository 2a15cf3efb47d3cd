"""Clips of every container, codec and kind of groups that can be written: windows are those of straight decoding."""

import av
import barcode
import numpy as np
import pytest

from mg.errors import InputError
from mg.io.by_number import read_frames_at
from mg.io.index import STORE
from mg.io.reader import Video
from mg.io.video import read_frames

CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "ts", "mpg", "wmv", "flv", "ogv")
ALL = [(kind, codec, group) for kind in CONTAINERS for codec, (_, groups) in barcode.CODECS.items() for group in groups]
# Where seeking goes wrong most easily; the others are slow.
HARD = [("mp4", "hevc", "open"), ("avi", "mpeg4", "b_frames"), ("avi", "h264", "b_frames"), ("ts", "h264", "open")]
HARD += [("mpg", "mpeg2", "open"), ("webm", "vp8", "b_frames"), ("mkv", "av1", "b_frames"), ("wmv", "wmv2", "plain")]
WINDOW = 8


def written(path, codec, group):
    """A clip of 48 pictures; skips where FFmpeg has no encoder, or a container does not take the codec."""
    try:
        return barcode.write(path, codec, group)
    except (ValueError, av.error.FFmpegError) as error:
        pytest.skip(f"{codec} in {path.suffix} cannot be written: {error}")


@pytest.mark.parametrize(
    "kind, codec, group", [p if p in HARD else pytest.param(*p, marks=pytest.mark.slow) for p in ALL]
)
def test_all_windows_are_those_of_straight_decoding(tmp_path, kind, codec, group):
    path = written(tmp_path / f"a.{kind}", codec, group)
    try:
        frames = np.stack(list(read_frames(path)))
    except InputError as error:
        assert kind in ("ts", "mpg") and "no video stream" in str(error)  # FFmpeg writes these, and does not read them
        return
    assert barcode.numbers(frames) == list(range(48))
    for start in range(48 - WINDOW + 1):
        np.testing.assert_array_equal(
            read_frames_at(path, range(start, start + WINDOW)), frames[start : start + WINDOW]
        )
    with Video(path) as video:
        timing = STORE.find(video).timing(path)
    assert 1.95 < timing.times[-1] < 2.05
    assert timing.fps == 24 or kind == "wmv"  # whose writer rounds the first times of some


def cut(source, target, first, last):
    """Packets of a clip as they are, from one number to another."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for number, packet in enumerate(read.demux(stream)):
            if packet.dts is not None and first <= number < last:
                packet.stream = copy
                written.mux(packet)
    return target


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg2"])
@pytest.mark.parametrize("group", barcode.GROUPS)
@pytest.mark.parametrize("kind", ["ts", "mkv"])
def test_a_recording_that_begins_inside_a_group_begins_with_the_next_key_frame(tmp_path, codec, group, kind):
    whole = barcode.write(tmp_path / f"whole.{kind}", codec, group)
    for first in (3, 17):
        path = cut(whole, tmp_path / f"{first}.{kind}", first, 99)
        numbers = barcode.numbers(read_frames(path))
        assert numbers == list(range(numbers[0], 48)) and first <= numbers[0] <= first + 13
        for start in range(0, len(numbers) - WINDOW, 5):
            window = read_frames_at(path, range(start, start + WINDOW))
            assert barcode.numbers(window) == numbers[start : start + WINDOW]


@pytest.mark.parametrize("codec", ["h264", "mpeg2"])
@pytest.mark.parametrize("group", barcode.GROUPS)
def test_recordings_joined_behind_each_other_are_one_after_the_other(tmp_path, codec, group):
    whole, joined = barcode.write(tmp_path / "whole.ts", codec, group), tmp_path / "joined.ts"
    joined.write_bytes(3 * whole.read_bytes())
    assert barcode.numbers(read_frames(joined)) == 3 * list(range(48))
    assert barcode.numbers(read_frames_at(joined, range(44, 56))) == [*range(44, 48), *range(8)]
    with Video(joined) as video:
        timing = STORE.find(video).timing(joined)
    assert (timing.frames, timing.even, timing.fps) == (144, True, 24)


def test_a_recording_that_is_joined_behind_another_and_begins_inside_a_group_begins_with_its_key_frame(tmp_path):
    whole, joined = barcode.write(tmp_path / "whole.ts", "h264", "b_frames"), tmp_path / "joined.ts"
    joined.write_bytes(whole.read_bytes() + cut(whole, tmp_path / "cut.ts", 3, 99).read_bytes())
    numbers = barcode.numbers(read_frames(joined))
    assert numbers[-36:] == list(range(12, 48))
    assert numbers[:-36] == list(range(len(numbers) - 36)) and len(numbers) >= 47 + 36  # the decoder may hold one back
    assert barcode.numbers(read_frames_at(joined, range(44, 52))) == numbers[44:52]
