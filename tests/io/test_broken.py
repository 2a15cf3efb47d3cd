"""Kinds of damage that FFmpeg passes over, or speaks of in its log alone: a file is refused, or shows what is whole."""

import io
from fractions import Fraction

import av
import barcode
import numpy as np
import pytest
from PIL import Image, ImageOps

from mg.errors import InputError
from mg.io.video import read_frames

FRAMES = [barcode.picture(number) for number in range(16)]
PES = b"\0\0\1\xe0"
VIDEO, TRACKS = b"\xe0", b"\x16\x54\xae\x6b"


def clip(path, codec, group="plain"):
    return barcode.write(path, codec, group, FRAMES)


def changed(path, change):
    """A file beside another one, with other bytes."""
    content = bytearray(path.read_bytes())
    change(content)
    other = path.with_name(f"changed{path.suffix}")
    other.write_bytes(content)
    return other


def test_what_is_said_in_the_log_alone_is_damage_each_time_a_file_is_read(tmp_path):
    path, said = clip(tmp_path / "a.wmv", "wmv2"), 0
    before = av.logging.get_level(), av.logging.get_skip_repeated()
    start = path.stat().st_size // 4
    for place in range(start, start + 300, 10):
        broken, reasons = (
            changed(path, lambda content, place=place: content.__setitem__(place, content[place] ^ 16)),
            [],
        )
        for _ in range(2):
            try:
                reasons.append(len(list(read_frames(broken))))
            except InputError as error:
                reasons.append(str(error))
        assert reasons[0] == reasons[1]
        said += any(words in str(reasons[0]) for words in ("junk bits", "overflow", "overreading"))
    assert said > 2
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before


def test_vp8_is_damaged_where_a_second_decoder_stops_or_sees_another_picture(tmp_path):
    path = clip(tmp_path / "a.webm", "vp8")
    right, refused = list(read_frames(path)), 0
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
    for packet in packets:
        content = bytes(packet)
        broken = changed(path, lambda data, part=content: data.__setitem__(data.index(part) + len(part) // 2, 0xFF))
        try:
            list(read_frames(broken))
        except InputError as error:
            refused += "second decoder" in str(error) or "two decoders" in str(error)
    assert len(right) == 16 and refused > 2


def test_an_element_of_matroska_that_is_longer_than_its_track_is_damage(tmp_path):
    def lengthen(content):
        place = content.index(VIDEO, content.index(TRACKS)) + 1
        while content[place] & 0x80 == 0 or content[place - 1 : place] != VIDEO:
            place = content.index(VIDEO, place) + 1
        content[place] += 2

    path = clip(tmp_path / "a.webm", "vp8")
    assert len(list(read_frames(path))) == 16
    with pytest.raises(InputError, match="longer than what holds it"):
        list(read_frames(changed(path, lengthen)))


@pytest.mark.parametrize("kind, codec", [("ts", "h264"), ("ts", "mpeg2"), ("mpg", "mpeg2")])
@pytest.mark.parametrize("number", [0, 1])
def test_a_time_that_is_wrong_begins_no_new_recording(tmp_path, kind, codec, number):
    """Frames behind it are shown, though time goes back."""

    def change_time(content):
        place = -1
        for _ in range(number + 1):
            place = content.index(PES, place + 1)
        if content[place + 7] & 0x80:  # it has a time
            content[place + 11] |= 0x40  # a bit of the middle of it

    path = clip(tmp_path / f"a.{kind}", codec)
    frames, others = list(read_frames(path)), list(read_frames(changed(path, change_time)))
    assert barcode.numbers(others) == barcode.numbers(frames) == list(range(16))


@pytest.mark.parametrize("name, codec", [("a.flv", "flv1"), ("a.mpg", "mpeg2"), ("a.ts", "mpeg2"), ("a.webm", "vp8")])
def test_of_a_recording_that_stops_inside_a_picture_whole_pictures_are_shown(tmp_path, name, codec):
    path = clip(tmp_path / name, codec)
    right, size = list(read_frames(path)), path.stat().st_size
    for left in range(size // 2, size, 97):
        try:
            frames = list(read_frames(changed(path, lambda content, left=left: content.__delitem__(slice(left, None)))))
        except InputError:
            continue
        assert 0 < len(frames) <= 16
        np.testing.assert_array_equal(frames, right[: len(frames)])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_video_of_photos_with_exif_is_read_and_turned(tmp_path, orientation):
    smooth = np.kron(np.random.default_rng(0).integers(0, 256, (3, 5, 3)), np.ones((32, 32, 1))).astype(np.uint8)
    photo, exif, content = Image.fromarray(smooth), Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    photo.save(content, "JPEG", exif=exif, quality=95)
    with av.open(str(tmp_path / "a.avi"), "w") as file:
        stream = file.add_stream("mjpeg", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuvj420p"
        for number in range(3):
            packet = av.Packet(content.getvalue())
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.time_base = Fraction(1, 24)
            file.mux(packet)
    content.seek(0)
    right = np.asarray(ImageOps.exif_transpose(Image.open(content)))
    frames = list(read_frames(tmp_path / "a.avi"))
    assert len(frames) == 3 and frames[0].shape == right.shape
    assert np.abs(frames[0].astype(int) - right).mean() < 4
