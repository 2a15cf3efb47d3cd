"""Videos as they are meant to be seen: orientation, shape of pixels, cropping, colours."""

from fractions import Fraction

import av
import barcode
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

from mg.errors import InputError
from mg.io.clip import open_clip
from mg.io.shown import square_size
from mg.io.video import probe, read_frames

PLAIN = [barcode.picture(number) for number in range(4)]
# A display matrix as (a, b, c, d), and what it does to a picture.
MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda x: x),
    "turned right": ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
    "upside down": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
    "turned left": ((0, -1, 1, 0), lambda x: np.rot90(x, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    "flipped": ((1, 0, 0, -1), lambda x: x[::-1]),
    "transposed": ((0, 1, 1, 0), lambda x: x.transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
}


def with_matrix(path, matrix):
    """The clip with another matrix in its track header, which holds the one of an upright picture."""
    one = 1 << 16
    upright, a, b, c, d = (one, 0, 0, 0, one), *(round(n * one) for n in matrix)

    def stored(*numbers):
        return b"".join(int(n).to_bytes(4, "big", signed=True) for n in numbers)

    content = path.read_bytes()
    place = content.index(b"tkhd")
    old = content.index(stored(*upright), place)
    path.write_bytes(content[:old] + stored(a, b, 0, c, d) + content[old + 20 :])
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A clip, and its frames as they are stored."""
    path = barcode.write(tmp_path_factory.mktemp("clips") / "a.mp4", "h264", frames=PLAIN)
    return path, list(read_frames(path))


@pytest.mark.parametrize("name", MATRICES)
def test_every_display_matrix_is_followed(stored, tmp_path, name):
    (path, frames), (matrix, shown) = stored, MATRICES[name]
    turned = tmp_path / "a.mp4"
    turned.write_bytes(path.read_bytes())
    with_matrix(turned, matrix)
    for frame, plain in zip(read_frames(turned), frames):
        np.testing.assert_array_equal(frame, shown(plain))


def test_a_slanted_picture_is_refused(stored, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(stored[0].read_bytes())
    with pytest.raises(InputError, match="turned by no multiple of 90 degrees"):
        list(read_frames(with_matrix(path, (0.8, 0.6, -0.6, 0.8))))


@pytest.mark.parametrize(
    "aspect, size", [((2, 1), (320, 96)), ((1, 2), (160, 192)), ((16, 15), (170, 96)), ((1, 1), (160, 96))]
)
def test_pixels_become_square_and_the_log_says_so(tmp_path, caplog, aspect, size):
    path = barcode.write(tmp_path / "a.mp4", "h264", frames=PLAIN, sample_aspect_ratio=Fraction(*aspect))
    clip = open_clip(path)
    assert clip.size == size[::-1] and (probe(path).width, probe(path).height) == size
    assert barcode.numbers(clip.frames) == [0, 1, 2, 3]
    said = [message for message in caplog.messages if "it is read as {}x{} with square".format(*size) in message]
    assert len(said) == (aspect != (1, 1))


def test_even_sizes_stay_even():
    assert square_size(720, 480, Fraction(40, 33)) == (
        872,
        480,
    )
    assert square_size(719, 480, Fraction(2)) == (1438, 480)


def with_clap(path, width, height):
    """The MP4, whose header comes last, with a box that shows the middle of its pictures."""
    content = path.read_bytes()
    values = (width, 1, height, 1, 0, 1, 0, 1)
    box = (40).to_bytes(4, "big") + b"clap" + b"".join(value.to_bytes(4, "big") for value in values)
    end = content.index(b"avc1", content.index(b"stsd")) - 4
    end += int.from_bytes(content[end : end + 4], "big")
    grown = bytearray(content[:end] + box + content[end:])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = grown.index(kind, grown.index(b"moov")) - 4
        grown[place : place + 4] = (int.from_bytes(grown[place : place + 4], "big") + 40).to_bytes(4, "big")
    path.write_bytes(grown)
    return path


def with_pixel_crop(path, left, right, top, bottom):
    """The Matroska file with four more numbers in its track's video settings."""
    content = path.read_bytes()
    names = {0x54CC: left, 0x54DD: right, 0x54BB: top, 0x54AA: bottom}
    added = b"".join(name.to_bytes(2, "big") + b"\x81" + bytes([value]) for name, value in names.items())
    tracks = content.rindex(bytes.fromhex("1654AE6B"))  # the first one is in a list of what there is
    video = content.index(b"\xe0", content.index(b"V_MPEG4", tracks))
    places = [
        content.index(bytes.fromhex("18538067")) + 4,
        tracks + 4,
        content.index(b"\xae\x01", tracks) + 1,
        video + 1,
    ]
    grown = bytearray(content)
    for place in reversed(places):
        length = 9 - grown[place].bit_length()
        value = int.from_bytes(grown[place : place + length], "big") + len(added)
        grown[place : place + length] = value.to_bytes(length, "big")
    start = video + 1 + 9 - content[video + 1].bit_length()
    grown[start:start] = added
    checksum = grown.index(b"\xbf\x84", tracks)
    grown[checksum] = 0xEC  # padding
    path.write_bytes(grown)
    return path


def test_what_a_container_cuts_off_is_not_shown(stored, tmp_path):
    path, frames = stored
    cut = tmp_path / "a.mp4"
    cut.write_bytes(path.read_bytes())
    for frame, plain in zip(read_frames(with_clap(cut, 128, 64)), frames):
        np.testing.assert_array_equal(frame, plain[16:80, 16:144])
    path = barcode.write(tmp_path / "a.mkv", "h264", frames=PLAIN)
    frames = list(read_frames(path))
    for frame, plain in zip(read_frames(with_pixel_crop(path, 16, 32, 4, 0)), frames):
        np.testing.assert_array_equal(frame, plain[4:, 16:128])


@pytest.mark.parametrize("curve, name", [(ColorTrc.SMPTE2084, "PQ"), (ColorTrc.ARIB_STD_B67, "HLG")])
def test_hdr_is_read_with_a_warning(tmp_path, caplog, curve, name):
    tags = {"colorspace": 9, "color_primaries": ColorPrimaries.BT2020, "color_trc": curve}
    path = barcode.write(tmp_path / "a.mp4", "hevc", frames=PLAIN, **tags)
    assert barcode.numbers(read_frames(path)) == [0, 1, 2, 3]
    assert barcode.numbers(read_frames(path)) == [0, 1, 2, 3]
    assert sum(name in message and "BT.2020" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("number, name", [(8, "YCgCo"), (10, "BT.2020 with constant luminance")])
def test_colours_that_are_not_converted_are_refused_with_the_reason(tmp_path, number, name):
    path = barcode.write(tmp_path / "a.mp4", "h264", frames=PLAIN, colorspace=number)
    with pytest.raises(InputError, match=f"has colours in {name}"):
        list(read_frames(path))


def test_colours_of_bt2020_are_converted_by_its_own_matrix(tmp_path):
    frames = [np.full((96, 160, 3), (200, 60, 50), np.uint8)] * 2
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.colorspace = 9
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            coded = picture.reformat(format="yuv420p", src_colorspace=Colorspace.ITU601, dst_colorspace=9)
            container.mux(stream.encode(coded))
        container.mux(stream.encode(None))
    assert np.abs(next(read_frames(path)).astype(int) - (200, 60, 50)).max() <= 4
