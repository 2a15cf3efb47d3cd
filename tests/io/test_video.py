"""Reading and writing of video files: our own small ones everywhere, real ones where they are at hand."""

import subprocess
import sys
import threading
from fractions import Fraction

import barcode
import numpy as np
import pytest

from mg.errors import InputError
from mg.io import decord_process, video
from mg.io.by_number import read_chosen, read_frames_at
from mg.io.video import probe, read_frames, write_video

# Displayed width and height, frames, frame rate.
REAL = {
    "asl_bird_640x480.mkv": (640, 480, 63, Fraction(30)),
    "bbb_1280x720.mp4": (1280, 720, 132, Fraction(25)),
    "dashcam_1280x720.mp4": (1280, 720, 38, Fraction(25)),
    "derived_flower_427x241_vp9.webm": (427, 241, 60, Fraction(30000, 1001)),
    "derived_stream_320x240_xvid.avi": (320, 240, 77, Fraction(25)),
    "flower_960x540.mp4": (960, 540, 150, Fraction(30000, 1001)),
    "flower_vp8.webm": (960, 540, 150, Fraction(30000, 1001)),
    "friday_640x480.mp4": (640, 480, 185, Fraction(30)),
    "nasa_multistream.mp4": (480, 270, 390, Fraction(30000, 1001)),
    "pigs_314x273.gif": (314, 273, 30, Fraction(10)),
    "rot90_568x320.mov": (320, 568, 3, Fraction(30)),
    "stream_480x360.mp4": (480, 360, 90, Fraction(30000, 1001)),
    "vidtok_256x256.mp4": (256, 256, 136, Fraction(30)),
}


def index_frames(count, height=32, width=48):
    """Frames whose grey value is 10 times their number."""
    return [np.full((height, width, 3), 10 * index, np.uint8) for index in range(count)]


def write(path, frames, fps=Fraction(24)):
    with write_video(path, fps) as file:
        for frame in frames:
            file.write(frame)
    return path


@pytest.mark.parametrize("size", [(32, 48), (33, 48), (32, 47), (17, 19)])
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(30000, 1001), Fraction(10)])
def test_size_count_and_rate_survive_writing(tmp_path, size, fps):
    path = write(tmp_path / "a.mp4", index_frames(9, *size), fps)
    info = probe(path)
    assert (info.height, info.width, info.frames, info.fps) == (*size, 9, fps)
    back = list(read_frames(path))
    assert len(back) == 9
    for index, frame in enumerate(back):
        assert abs(frame.mean() - 10 * index) < 2


def test_written_files_are_h264_with_the_index_in_front(tmp_path):
    path = write(tmp_path / "a.mp4", index_frames(3))
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with video.av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (255, 255, 255), (0, 0, 0)])
def test_colours_survive(tmp_path, colour):
    path = write(tmp_path / "a.mp4", [np.full((32, 32, 3), colour, np.uint8)] * 2)
    assert np.abs(next(read_frames(path)).astype(int) - colour).max() <= 2


def test_frames_by_number_are_those_of_straight_decoding(tmp_path):
    path = write(tmp_path / "a.mp4", index_frames(20, 64, 64))
    wanted = [19, 0, 7, 7]
    expected = np.stack([list(read_frames(path))[index] for index in wanted])
    for _ in range(2):
        np.testing.assert_array_equal(read_frames_at(path, wanted), expected)


def test_decord_reads_where_it_was_asked_for_and_gave_every_frame(tmp_path, monkeypatch):
    """It gives other frames of an open group, and four channels for frames 48 pixels wide."""
    pytest.importorskip("decord", reason="decord is not installed")
    asked = []
    read = decord_process.read
    monkeypatch.setattr(
        decord_process, "read", lambda path, numbers: asked.append(list(numbers)) or read(path, numbers)
    )
    good = write(tmp_path / "a.mp4", index_frames(20, 64, 64))
    narrow = write(tmp_path / "b.mp4", index_frames(5, 32, 48))
    open_group = barcode.write(tmp_path / "c.mp4", "hevc", "open")
    for path, wanted, used in ((good, [3, 0], True), (narrow, [4, 1], False), (open_group, [12, 13], False)):
        expected = read_frames_at(path, wanted)
        assert asked == []
        for _ in range(2):
            frames = read_chosen(path, lambda index, wanted=wanted: wanted, decord=True)
            assert np.abs(frames.astype(int) - expected).mean() <= 1
        assert (asked[-1] == wanted) == used
        asked.clear()


def test_a_process_of_decord_that_dies_does_no_harm(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", index_frames(20, 64, 64))
    monkeypatch.setattr(decord_process, "_of_thread", threading.local())
    monkeypatch.setattr(decord_process.sys, "executable", "/bin/false")
    assert decord_process.read(path, [0]) is None
    frames = read_chosen(path, lambda index: [7], decord=True)
    np.testing.assert_array_equal(frames, read_frames_at(path, [7]))


def test_numbers_that_are_not_there_are_refused(tmp_path):
    path = write(tmp_path / "a.mp4", index_frames(5, 64, 64))
    for _ in range(2):
        with pytest.raises(InputError, match="no frame 5"):
            read_frames_at(path, [0, 5])
    for wrong in ([-1], []):
        with pytest.raises(InputError, match="counted from 0"):
            read_frames_at(path, wrong)


def test_a_failed_or_empty_writing_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), write_video(tmp_path / "a.mp4", Fraction(24)) as file:
        file.write(index_frames(1)[0])
        raise RuntimeError("stop")
    with pytest.raises(InputError, match="no frame"), write_video(tmp_path / "b.mp4", Fraction(24)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_failed_writing_keeps_the_old_file(tmp_path):
    path = write(tmp_path / "a.mp4", index_frames(2))
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"), write_video(path, Fraction(24)) as file:
        file.write(index_frames(1)[0])
        raise RuntimeError("stop")
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "headless", "audio"])
def test_damaged_videos_give_one_clear_error(tmp_path, damage):
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8)
    write(path, noise)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("no video")
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "headless":
        path.write_bytes(content[content.index(b"mdat") - 4 :])
    else:
        with video.av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=16000)
            sound = video.av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 16000
            container.mux(stream.encode(sound))
            container.mux(stream.encode(None))
    with pytest.raises(InputError) as error:
        list(read_frames(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_of_a_file_that_is_damaged_inside_no_frame_is_given_by_number(tmp_path):
    path = write(tmp_path / "a.mp4", np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    for wanted in ([0, 29], [0]):
        with pytest.raises(InputError, match=r"a\.mp4.*damaged"):
            read_frames_at(path, wanted)


@pytest.mark.parametrize("name", REAL)
def test_real_clips_are_read_whole_and_upright(shared, name):
    path = shared / "data" / "clips" / name
    width, height, frames, fps = REAL[name]
    info = probe(path)
    assert (info.width, info.height, info.frames, info.fps) == (width, height, frames, fps)
    count = 0
    for frame in read_frames(path):
        assert frame.shape == (height, width, 3)
        count += 1
    assert count == frames


@pytest.mark.parametrize("name", REAL)
def test_windows_of_real_clips_are_those_of_straight_decoding(shared, name):
    path = shared / "data" / "clips" / name
    wanted = sorted({0, REAL[name][2] // 2, REAL[name][2] - 1})
    expected = [frame for number, frame in enumerate(read_frames(path)) if number in wanted]
    np.testing.assert_array_equal(read_frames_at(path, wanted), expected)


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path):
    """As phones and lossless cutting make them: 20 frames are stored, and the first 5 are not to be shown."""
    whole, cut = write(tmp_path / "whole.mp4", index_frames(20, 64, 64)), tmp_path / "cut.mp4"
    with video.av.open(str(whole)) as source, video.av.open(str(cut), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - 5 * packet.duration, packet.dts - 5 * packet.duration
                packet.stream = copy
                target.mux(packet)
    frames = list(read_frames(cut))
    assert len(frames) == probe(cut).frames == 15
    assert abs(frames[0].mean() - 50) < 2
    assert np.abs(read_frames_at(cut, [0, 14]).mean((1, 2, 3)) - [50, 190]).max() < 2
    with pytest.raises(InputError, match="no frame 15"):
        read_frames_at(cut, [15])


def test_a_size_that_changes_midway_is_refused(tmp_path):
    path = tmp_path / "two.ts"
    with open(path, "wb") as joined:
        for size in (64, 32):
            part = tmp_path / f"{size}.ts"
            with video.av.open(str(part), "w", format="mpegts") as container:
                stream = container.add_stream("libx264", rate=24)
                stream.width = stream.height = size
                for frame in index_frames(4, size, size):
                    container.mux(stream.encode(video.av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode(None))
            joined.write(part.read_bytes())
    with pytest.raises(InputError):
        list(read_frames(path))
    with pytest.raises(InputError, match="first had"), write_video(tmp_path / "a.mp4", Fraction(24)) as file:
        for size in (64, 32):
            file.write(index_frames(1, size, size)[0])


@pytest.mark.parametrize("fps", [0, -1, 29.97, "24", None, 10**11, Fraction(1, 10**11)])
def test_impossible_rates_are_refused(tmp_path, fps):
    with pytest.raises(InputError, match="fps="), write_video(tmp_path / "a.mp4", fps):
        pass


@pytest.mark.parametrize(
    "frame", [np.zeros((32, 32, 3)), np.zeros((32, 32, 4), np.uint8), np.zeros((0, 32, 3), np.uint8)]
)
def test_odd_frames_are_refused(tmp_path, frame):
    with pytest.raises(InputError, match="must be uint8"), write_video(tmp_path / "a.mp4", Fraction(24)) as file:
        file.write(frame)


def test_titles_that_are_not_utf8_do_no_harm(tmp_path):
    path = tmp_path / "a.avi"
    with video.av.open(str(path), "w") as container:
        container.metadata["title"] = "qqqq"
        stream = container.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 64
        for frame in index_frames(2, 64, 64):
            container.mux(stream.encode(video.av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"qqqq", b"\xe9\xe9\xe9\xe9"))
    assert len(list(read_frames(path))) == 2


def test_reading_loads_neither_mindspore_nor_decord(tmp_path):
    path = write(tmp_path / "a.mp4", index_frames(3, 64, 64))
    program = f"""
import sys
import mg.io.clip, mg.io.by_number, mg.io.latents
mg.io.clip.open_clip({str(path)!r})
mg.io.by_number.read_frames_at({str(path)!r}, [0])
assert not {{"decord", "mindspore"}} & set(sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_process_of_decord_that_hangs_is_ended(tmp_path, monkeypatch):
    program = tmp_path / "hangs.py"
    program.write_text("import time; time.sleep(600)")
    monkeypatch.setattr(decord_process, "__file__", str(program))
    monkeypatch.setattr(decord_process, "_LONGEST", 0.2)
    monkeypatch.setattr(decord_process, "_of_thread", threading.local())
    assert decord_process.read(tmp_path / "a.mp4", [0]) is None
    assert decord_process._of_thread.process.wait(10) < 0
