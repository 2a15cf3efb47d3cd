"""Images: what they show comes back, upright; what cannot be read is named."""

import base64
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps, features

import mg.io.image as image_module
from mg.errors import InputError
from mg.io.image import read_image, write_image

# 128x96, orientation 6: the upper left quarter red, the upper right black, the lower half blue.
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAaFtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9j"
    "AAAAAERAAAIAAQAAAAABxQABAAAAAAAAAHgAAgAAAAACPQABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAA"
    "ABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA4GlwcnAAAADAaXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNg"
    "AAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoBAgYWW6kkprm4CGgwIAAAMAMgAAAwACEGIAAQAH"
    "RAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAACAAAAAYAAAABBwaXhpAAAAAAMICAgAAAAJaXJvdAMAAAAYaXBtYQAA"
    "AAAAAAABAAEFgQIDBIUAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAKRtZGF0AAAAdCgBrxOAeNWFyL//8YVH/7rWeH2FD0E6fNk/+7zS"
    "Pyf2f/ExvJTlH3Gts3nnyeUTNlvs0DR0dgE57N6//6xVMjxahf9Z9DiaYJ3qX9uEqKHlKrcrSK7iWLksOTfv0q9+aoLlt2sQhP7uELzyvNyE"
    "o5DSOi1uAAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (5, 7, 3), np.uint8)


def test_png_round_trip_is_exact(tmp_path, picture):
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)


def test_grey_palette_transparent_and_16_bit_images_become_rgb(tmp_path, picture):
    grey = picture[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, -1))

    Image.fromarray(picture).quantize(16).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (5, 7, 3)

    alpha = np.zeros((5, 7, 1), np.uint8)
    alpha[:, :4] = 255
    Image.fromarray(np.concatenate((picture, alpha), -1)).save(tmp_path / "rgba.png")
    over_white = read_image(tmp_path / "rgba.png")
    np.testing.assert_array_equal(over_white[:, :4], picture[:, :4])
    assert (over_white[:, 4:] == 255).all()

    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png")[..., 0], grey)


def test_exif_orientation_turns_the_image_upright(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by 90 degrees
    Image.fromarray(picture).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(picture, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_all_orientations_are_those_that_pillow_makes(tmp_path, suffix, orientation):
    blocks = np.kron(np.array([[1, 2, 3], [4, 5, 6]], np.uint8) * 40, np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(blocks).save(tmp_path / f"a.{suffix}", exif=exif)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), expected)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\x7f"]
)
def test_metadata_that_cannot_be_read_does_not_matter(tmp_path, picture, exif):
    Image.fromarray(picture).save(tmp_path / "a.webp", lossless=True, exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.webp"), picture)


def test_large_images_are_read_where_there_is_memory_and_refused_where_not(tmp_path, monkeypatch):
    """More pixels than Pillow reads by itself, of one bit each."""
    Image.new("1", (20_000, 9_000)).save(tmp_path / "a.png")
    most = Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(image_module.psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    with pytest.raises(InputError, match=r"20000x9000 pixels, which take 1\.8 GB .* 1\.0 GB are free; scale it down"):
        read_image(tmp_path / "a.png")
    assert most == Image.MAX_IMAGE_PIXELS


def test_any_exception_of_a_library_is_one_line_that_names_the_file(tmp_path, picture, monkeypatch):
    write_image(tmp_path / "a.png", picture)

    def fail(image):
        raise ZeroDivisionError("of\na library")

    monkeypatch.setattr(image_module.Image.Image, "load", fail)
    with pytest.raises(InputError, match=r"a\.png' cannot be read as an image \(of\)"):
        read_image(tmp_path / "a.png")


def test_heic_is_read_or_says_what_it_needs(tmp_path, monkeypatch):
    path = tmp_path / "a.HEIC"
    path.write_bytes(base64.b64decode(HEIC))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pi_heif", None)
        with pytest.raises(InputError, match="HEIC, which needs a package: pip install pi-heif"):
            read_image(path)
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    pixels = read_image(path).astype(int)
    assert pixels.shape == (128, 96, 3)
    assert abs(pixels[10, 10] - (50, 80, 200)).max() < 4 and abs(pixels[-10, -10]).max() < 4


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_avif_is_read(tmp_path):
    Image.new("RGB", (48, 32), (200, 60, 50)).save(tmp_path / "a.avif", quality=95)
    pixels = read_image(tmp_path / "a.avif").astype(int)
    assert pixels.shape == (32, 48, 3) and abs(pixels - (200, 60, 50)).max() < 6


def test_avif_says_what_it_needs(tmp_path, monkeypatch):
    (tmp_path / "a.avif").write_bytes(b"any")
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(InputError, match=r"Pillow reads from version 11\.3 on"):
        read_image(tmp_path / "a.avif")


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated"])
def test_damaged_images_give_one_clear_error(tmp_path, picture, damage):
    path = tmp_path / "a.png"
    write_image(path, np.repeat(np.repeat(picture, 20, 0), 20, 1))
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("no image")
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, shape",
    [
        ("exif6_portrait.jpg", (1800, 1200, 3)),
        ("camera.png", (512, 512, 3)),
        ("lizard_rgba_320x229.png", (229, 320, 3)),
        ("leopard_1244x416.jpg", (416, 1244, 3)),
    ],
)
def test_real_images(shared, name, shape):
    pixels = read_image(shared / "data" / "images" / name)
    assert pixels.shape == shape
    assert pixels.dtype == np.uint8
    assert pixels.std() > 10
