import numpy as np
import pytest
from PIL import Image

from mg.errors import InputError
from mg.io.image import read_image, write_image


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
