"""Clips of media files: found, opened once, sampled by stride and by rate, sized."""

import os
from fractions import Fraction
from itertools import accumulate, count

import av
import numpy as np
import pytest
from openings import count_openings

from mg.errors import InputError
from mg.io.clip import Sampling, find_media, open_clip, read_clip
from mg.io.image import write_image
from mg.io.index import STORE
from mg.io.reader import Video
from mg.io.timing import even_timing
from mg.io.video import read_frames, write_video

STEP = 6  # grey levels from one frame to the next
# How to write each container, and what codec it holds.
KINDS = {
    "mp4": "libx264",
    "mkv": "libx264",
    "ts": "libx264",
    "webm": "libvpx-vp9",
    "avi": "mpeg4",
    "flv": "flv",
    "mpg": "mpeg1video",
    "wmv": "wmv2",
    "gif": "gif",
}


def write(path, count, fps=Fraction(24), height=32, width=48):
    """A video whose frame k is grey 6 * k."""
    with write_video(path, fps) as file:
        for index in range(count):
            file.write(np.full((height, width, 3), STEP * index, np.uint8))
    return path


def write_as(path, codec, durations=(40,) * 20, size=64):
    """The same by another codec; durations: of each frame, in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = size, size, "rgb8" if codec == "gif" else "yuv420p"
        if len(set(durations)) > 1:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, start in enumerate(accumulate((0, *durations[:-1]))):
            frame = av.VideoFrame.from_ndarray(np.full((size, size, 3), STEP * index, np.uint8), format="rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = start, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def shown(frames):
    """The numbers of the frames that a clip shows."""
    return [round(float(frame.mean()) / STEP) for frame in frames]


def test_a_video_is_opened_once_and_decoded_through_once_before(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", 20)
    counts = count_openings(monkeypatch)
    clip = open_clip(path)
    assert (clip.fps, clip.size, clip.total, clip.times) == (24, (32, 48), 20, None)
    assert counts == {"pyav": 1, "decoded": 20, "frames": 1}
    assert shown(clip.frames) == list(range(20))
    assert counts == {"pyav": 1, "decoded": 20, "frames": 20}
    assert shown(open_clip(path).frames) == list(range(20))
    assert counts == {"pyav": 2, "decoded": 20, "frames": 40}


@pytest.mark.parametrize("read", [read_clip, lambda *of: list(open_clip(*of).frames)])
def test_of_a_start_nothing_is_decoded_beyond_the_frame_behind_it(tmp_path, monkeypatch, read):
    path = write(tmp_path / "a.mp4", 20)
    counts = count_openings(monkeypatch)
    assert shown(read(path, Sampling(num_frames=4))) == [0, 1, 2, 3]
    assert counts == {"pyav": 1, "decoded": 5, "frames": 4}
    assert shown(read(path, Sampling(stride=3, num_frames=4))) == [0, 3, 6, 9]
    assert counts == {"pyav": 2, "decoded": 25, "frames": 8}
    assert shown(read(path, Sampling(sample_fps=12, num_frames=4))) == [0, 2, 4, 6]
    assert counts == {"pyav": 3, "decoded": 25, "frames": 12}


def test_an_image_is_opened_once(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, np.zeros((20, 30, 3), np.uint8))
    counts = count_openings(monkeypatch)
    clip = open_clip(path, Sampling(sample_fps=2, stride=2, num_frames=3, image_size=(16, 16)))
    assert (clip.fps, clip.size, clip.total) == (None, (16, 16), 1)
    assert [frame.shape for frame in clip.frames] == [(16, 16, 3)]
    assert counts == {"image": 1}
    assert read_clip(path, Sampling()).shape == (1, 20, 30, 3)


@pytest.mark.parametrize("suffix", KINDS)
def test_every_container_is_looked_through_and_read_with_one_opening(tmp_path, monkeypatch, suffix):
    path = write_as(tmp_path / f"a.{suffix}", KINDS[suffix])
    expected = list(read_frames(path))
    counts = count_openings(monkeypatch)
    with Video(path) as video:
        assert STORE.find(video).frames == 20
        np.testing.assert_array_equal(list(video.frames()), expected)
    assert counts["pyav"] == 1


def test_a_file_that_cannot_be_wound_back_is_opened_anew(tmp_path, monkeypatch):
    path = write_as(tmp_path / "a.ts", "libx264")
    expected = list(read_frames(path))
    places = count(1)
    monkeypatch.setattr("mg.io.reader._place", lambda packet: (next(places),))  # so that no packet is found again
    counts = count_openings(monkeypatch)
    np.testing.assert_array_equal(list(open_clip(path).frames), expected)
    assert counts == {"pyav": 2, "decoded": 20, "frames": 20}


def test_files_are_closed_when_the_last_frame_was_taken_or_the_clip_is_dropped(tmp_path):
    path = write(tmp_path / "a.mp4", 9)
    before = len(os.listdir("/proc/self/fd"))
    clips = [open_clip(path), open_clip(path, Sampling(num_frames=3))]
    assert len(os.listdir("/proc/self/fd")) == before + 2
    assert len(list(clips[1].frames)) == 3
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del clips
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "rates, expected",
    [((24, 24), [0, 1, 2, 3, 4, 5]), ((24, 12), [0, 2, 4]), ((24, 48), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])]
    + [((30, 24), [0, 1, 2, 3, 5]), ((Fraction(30000, 1001), 30), [0, 0, 1, 2, 3, 4, 5])],
)
def test_frames_at_another_rate(tmp_path, rates, expected):
    fps, sample_fps = map(Fraction, rates)
    assert even_timing(6, fps).shown_at(sample_fps) == expected
    clip = open_clip(write(tmp_path / "a.mp4", 6, fps), Sampling(sample_fps=sample_fps))
    assert (clip.total, clip.fps) == (len(expected), sample_fps)
    assert shown(clip.frames) == expected


def test_a_rate_goes_with_a_stride_and_a_number_of_frames(tmp_path):
    path = write(tmp_path / "a.mp4", 20, Fraction(24))
    clip = open_clip(path, Sampling(sample_fps=Fraction(12), stride=3, num_frames=3))
    assert (clip.total, clip.fps, shown(clip.frames)) == (3, 4, [0, 6, 12])
    clip = open_clip(path, Sampling(sample_fps=Fraction(12), stride=3))
    assert (clip.total, shown(clip.frames)) == (4, [0, 6, 12, 18])
    clip = open_clip(path, Sampling(stride=8, num_frames=9))
    assert (clip.total, clip.fps, shown(clip.frames)) == (3, 3, [0, 8, 16])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "gif"])
def test_frames_of_unequal_length_are_taken_when_they_are_shown(tmp_path, suffix):
    """As phones and screen recorders make them: 4 frames of 100 ms, one of 400 ms, 10 of 40 ms."""
    path = write_as(tmp_path / f"a.{suffix}", KINDS[suffix], (100,) * 4 + (400,) + (40,) * 10)
    for sample_fps, expected in ((10, [0, 1, 2, 3, 4, 4, 4, 4, 5, 7, 10, 12]), (5, [0, 2, 4, 4, 5, 10])):
        clip = open_clip(path, Sampling(sample_fps=Fraction(sample_fps)))
        assert shown(clip.frames) == expected
        assert clip.total == len(expected)
    assert shown(open_clip(path).frames) == list(range(15))


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60), Fraction(10)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_clocks_that_round_do_not_repeat_or_drop_frames(tmp_path, fps, suffix):
    """Matroska counts in milliseconds."""
    path = write(tmp_path / "a.mp4", 40, fps)
    if suffix == "mkv":
        source, path = path, tmp_path / "a.mkv"
        with av.open(str(source)) as read, av.open(str(path), "w") as copy:
            stream = copy.add_stream_from_template(read.streams.video[0])
            for packet in read.demux(read.streams.video[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    copy.mux(packet)
    with Video(path) as video:
        timing = STORE.find(video).timing(path)
        assert timing.even and timing.fps == fps
        assert timing.times == tuple(number / fps for number in range(41))
    assert shown(open_clip(path, Sampling(sample_fps=fps)).frames) == list(range(40))
    assert shown(open_clip(path, Sampling(sample_fps=fps / 2)).frames) == list(range(0, 40, 2))


def test_sizes_are_scaled_or_cropped(tmp_path):
    path = write(tmp_path / "a.mp4", 2, height=40, width=60)
    for sampling, size in (
        (Sampling(), (40, 60)),
        (Sampling(image_size=(20, 16)), (20, 16)),
        (Sampling(resolution=20), (20, 30)),
        (Sampling(crop_size=32), (32, 32)),
        (Sampling(resolution=80, crop_size=64), (64, 64)),
    ):
        clip = open_clip(path, sampling)
        assert clip.size == size
        assert {frame.shape for frame in clip.frames} == {(*size, 3)}
    with pytest.raises(InputError, match="smaller than crop_size"):
        open_clip(path, Sampling(crop_size=64))


def test_a_scaled_and_cropped_square_is_the_image_of_that_size():
    frame = np.random.default_rng(0).integers(0, 256, (50, 71, 3), np.uint8)
    one, other = Sampling(image_size=(32, 32)), Sampling(resolution=32, crop_size=32)
    np.testing.assert_array_equal(one.sized(frame), other.sized(frame))


@pytest.mark.parametrize(
    "changes",
    [{"sample_fps": Fraction(0)}, {"sample_fps": 1001}, {"stride": 0}, {"stride": 1.5}, {"num_frames": 0}]
    + [{"resolution": 8}, {"crop_size": 10**6}, {"image_size": (64, 8)}, {"resolution": 32, "crop_size": 64}]
    + [{"crop_size": 32, "image_size": (32, 32)}],
)
def test_bad_sampling_is_named(changes):
    with pytest.raises(InputError, match=f"{list(changes)[-1]}="):
        Sampling(**changes)


def test_damage_shows_where_it_is(tmp_path):
    path = tmp_path / "a.mp4"
    with write_video(path, Fraction(24)) as file:
        for frame in np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8):
            file.write(frame)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    assert len(read_clip(path, Sampling(num_frames=3))) == 3
    with pytest.raises(InputError, match=r"a\.mp4.*damaged"):
        open_clip(path)
    path.write_text("no video")
    for read in (open_clip, read_clip):
        with pytest.raises(InputError, match="cannot be read as a video"):
            read(path, Sampling())


def test_folders_are_searched_below_and_results_left_out(tmp_path):
    for name in ("b.mp4", "a.PNG", "notes.txt", "sub/c.gif", "out/d.mp4", ".hidden.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_media(tmp_path, leave_out=tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.PNG", "b.mp4", "sub/c.gif"]
    assert find_media(tmp_path / "b.mp4", leave_out=tmp_path) == [tmp_path / "b.mp4"]


def test_links_to_folders_are_followed_once_and_what_is_left_out_is_told(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("in/a.MTS", "in/b.heic", "in/notes.txt", "in/x.TXT", "in/README", "far/deep/c.M2TS"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "in" / "sub").mkdir()
    for link, target in (("in/linked", "far"), ("in/sub/loop", "in"), ("in/again", "far/deep"), ("in/a_sub", "in/sub")):
        (tmp_path / link).symlink_to(tmp_path / target)
    (tmp_path / "in" / "sub" / "d.3gp").touch()
    found = find_media(tmp_path / "in", leave_out=tmp_path / "out")
    names = [str(path.relative_to(tmp_path / "in")) for path in found]
    assert names == ["a.MTS", "again/c.M2TS", "b.heic", "sub/d.3gp"]
    assert caplog.messages == [
        f"3 files of '{tmp_path / 'in'}' are of other kinds and left out: .txt (2), no suffix (1)"
    ]


def test_nothing_to_find_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        find_media(tmp_path / "none", tmp_path)
    for wrong in (tmp_path, tmp_path.parent):
        with pytest.raises(InputError, match="name another output folder"):
            find_media(tmp_path, wrong)
    with pytest.raises(InputError, match="holds no media"):
        find_media(tmp_path, tmp_path / "out")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match=r"suffix '\.txt'"):
        find_media(tmp_path / "notes.txt", tmp_path)
