"""Small files with something special, each through every command: what is shown is right, in number, time and place."""

import json
import shutil
import tarfile
from fractions import Fraction
from pathlib import Path

import barcode
import numpy as np
import pytest
from averages import LOGVAR
from media import nano_session

from mg.data.clip import read_training_clip
from mg.data.config import DataConfig
from mg.data.loader import TrainingData
from mg.data.plan import Share
from mg.data.validation import validation_clips
from mg.errors import InputError
from mg.inference.clips import find_sources
from mg.inference.decode import Reading, decode_files
from mg.inference.encode import encode_files
from mg.inference.reconstruct import Saving, reconstruct
from mg.io.by_number import read_frames_at
from mg.io.clip import MEDIA, Sampling, find_media, open_clip
from mg.io.image import read_image
from mg.io.video import probe, read_frames
from mg.metrics.choose import choose_metrics
from mg.metrics.psnr import psnr
from mg.models import families

HELD = [*range(24), *(24 + k // 10 for k in range(231))]  # of screen_cfr25: 24 to 47 are shown for 400 ms
# What each video shows, and its length in seconds, from and to.
VIDEOS = {
    "mpeg4_bframes.avi": (range(48), 2, 2),
    "hevc_open_gop.mp4": (range(48), 2, 2),
    "wmv2.wmv": (range(48), 2, 2),
    "starts_mid_gop_h264.ts": (range(24, 48), 1, 1),
    "edit_list_end.mp4": (range(20), 20 / 24, 20 / 24),
    "edit_list_start.mp4": (range(30, 48), 18 / 24, 18 / 24),
    "recorder_ms_times.webm": (range(48), 3.1, 3.3),
    "screen_vfr.mp4": (range(48), 10.2, 10.6),
    "screen_cfr25.mp4": (HELD, 10.2, 10.2),
    "sar_2_1.mp4": (range(12), 0.5, 0.5),
    "camera.MTS": (range(12), 0.5, 0.5),
    "phone.3gp": (range(12), 0.5, 0.5),
    "joined.ts": ([*range(48), *range(48)], 4, 4),
}
BROKEN = "header_sample_count.mp4"
FRAMES = 8
CONFIG = {"mixed_strategy": "video_only", "sample_n_frames": FRAMES, "image_size": (barcode.HEIGHT, barcode.WIDTH)}


@pytest.fixture
def hunt(shared):
    if not (shared / "hunt").is_dir():
        pytest.skip("the folder of odd files is not among the shared ones")
    return shared / "hunt"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A model whose latents hold the brightness of both of their frames; nothing is compiled."""
    session = nano_session(tmp_path_factory.mktemp("weights") / "nano.safetensors")
    session.model.compute = keep_brightness
    return session


def keep_brightness(name, array, reference=None):
    """In place of `Autoencoder.compute`, see averages.py: 2x2 means of two frames in two channels, and back as grey."""
    if name == "decoder":
        batch, _, t, h, w = array.shape
        grey = array[:, :2].transpose(0, 2, 1, 3, 4).reshape(batch, 1, 2 * t, h, w)
        return grey.repeat(3, 1).repeat(2, 3).repeat(2, 4)
    batch, _, frames, height, width = array.shape
    filled = np.concatenate([array] + [array[:, :, -1:]] * (frames % 2), 2).mean(1)
    means = filled.reshape(batch, -1, 2, height // 2, 2, width // 2, 2).mean((4, 6)).transpose(0, 2, 1, 3, 4)
    mean = np.concatenate((means, means), 1)
    return np.concatenate((mean, np.full_like(mean, LOGVAR)), 1)


def check(path, name):
    """A video shows what it is to show, for as long as it is to."""
    numbers, shortest, longest = VIDEOS[name]
    assert barcode.numbers(read_frames(path)) == list(numbers)
    info = probe(path)
    assert (info.width, info.height, info.frames) == (barcode.WIDTH, barcode.HEIGHT, len(numbers))
    assert shortest - 1e-3 <= info.frames / info.fps <= longest + 1e-3


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_in_order_by_number_and_for_training_and_validation(hunt, tmp_path, name):
    numbers = list(VIDEOS[name][0])
    check(hunt / name, name)
    wanted = np.random.default_rng(0).permutation(len(numbers))
    assert barcode.numbers(read_frames_at(hunt / name, wanted)) == [numbers[k] for k in wanted]
    with pytest.raises(InputError, match=f"no frame {len(numbers)}"):
        read_frames_at(hunt / name, [len(numbers)])
    runs, config = set(), DataConfig(video_folder=str(tmp_path), **CONFIG)
    for seed in range(60):
        clip, short = read_training_clip(hunt / name, (FRAMES, 96, 160), config, np.random.default_rng(seed))
        runs.add(tuple(barcode.numbers(clip)))
        assert not short
    possible = {tuple(numbers[k : k + FRAMES]) for k in range(len(numbers) - FRAMES + 1)}
    assert runs <= possible and len(runs) > min(12, len(possible) - 1)
    shutil.copy(hunt / name, tmp_path)
    (clip,) = validation_clips(config)
    assert barcode.numbers(clip.frames) == numbers[:FRAMES]


SOME = ("recorder_ms_times.webm", "starts_mid_gop_h264.ts", "sar_2_1.mp4")  # the others are slow


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in VIDEOS])
def test_reconstructed_or_encoded_and_decoded_it_shows_the_same_for_as_long(hunt, tmp_path, session, name):
    sources = find_sources(tmp_path / "out", hunt / name)
    assert reconstruct(session, sources, tmp_path / "out", saving=Saving("all", folders=True)) == 0
    stem = sources[0].stem
    check(tmp_path / "out_ori" / f"{stem}.mp4", name)
    check(tmp_path / "out_rec" / f"{stem}.mp4", name)
    assert encode_files(session, sources, tmp_path / "latents") == 0
    assert decode_files(session, tmp_path / "latents", tmp_path / "back") == 0
    check(tmp_path / "back" / f"{stem}.mp4", name)


def test_rates_that_vary_become_a_constant_one_where_that_is_asked_for(hunt, tmp_path, session):
    sources = find_sources(tmp_path / "out", hunt / "screen_vfr.mp4")
    saving = Saving("all", output_fps=Fraction(25))
    assert reconstruct(session, sources, tmp_path / "out", saving=saving) == 0
    recon = tmp_path / "out" / "screen_vfr_recon.mp4"
    assert barcode.numbers(read_frames(recon)) == HELD[: probe(recon).frames]
    assert probe(recon).fps == 25 and probe(recon).frames in (255, 256)
    assert encode_files(session, sources, tmp_path / "latents") == 0
    assert decode_files(session, tmp_path / "latents", tmp_path / "back", Reading(output_fps=Fraction(25))) == 0
    assert barcode.numbers(read_frames(tmp_path / "back" / "screen_vfr.mp4")) == HELD[: probe(recon).frames]


def test_two_films_of_the_same_are_equal_at_the_same_times(hunt):
    sampling = Sampling(sample_fps=Fraction(5))
    clips = [list(open_clip(hunt / name, sampling).frames) for name in ("screen_vfr.mp4", "screen_cfr25.mp4")]
    assert len(clips[0]) == len(clips[1]) == 51
    assert barcode.numbers(clips[0])[:12] == [0, 5, 10, 15, 20, 24, 24, 25, 25, 26, 26, 27]
    assert min(psnr(*pair) for pair in zip(*clips)) > 55


def test_a_stride_over_a_rate_that_varies_is_one_in_time(hunt):
    two, four = (barcode.numbers(open_clip(hunt / "screen_vfr.mp4", Sampling(stride=s)).frames) for s in (2, 4))
    assert two[::2] == four
    assert two == [HELD[int(k * 2 * 10.2 / 48 / 0.04 + 1e-6)] for k in range(24)]


def test_wide_pixels_become_square_ones(hunt):
    colours = [(48, 77, 204), (209, 190, 55), (180, 77, 169), (66, 179, 189), (230, 228, 229), (37, 39, 38)]
    for frame in read_frames(hunt / "sar_2_1.mp4"):
        shown = frame[56, 32:128][8::16].astype(int)
        assert np.abs(shown - colours).max() <= 10


PHOTOS = ("photo_exif6_odd_resolution.jpg", "photo_exif6_odd_make.jpg")
QUARTERS = {(32, 24): (50, 80, 200), (32, 72): (200, 60, 50), (96, 24): (210, 190, 60), (96, 72): (60, 170, 70)}


def check_photo(picture, limit=3, grey=False):
    """A picture is upright, with its four colours; or, grey, with their brightness."""
    assert picture.shape == (128, 96, 3)
    for place, colour in QUARTERS.items():
        right = np.mean(colour) if grey else np.array(colour)
        assert np.abs(picture[place].astype(int) - right).max() <= limit


@pytest.mark.parametrize("name", PHOTOS)
def test_photo_read_and_for_training_and_validation(hunt, tmp_path, name):
    check_photo(read_image(hunt / name))
    shutil.copy(hunt / name, tmp_path / "a.jpg")
    config = DataConfig(image_folder=str(tmp_path), mixed_strategy="image_only", image_size=(128, 96))
    (clip, *_) = validation_clips(config)
    check_photo(clip.frames[0])
    for seed in range(60):
        clip, short = read_training_clip(tmp_path / "a.jpg", (1, 128, 96), config, np.random.default_rng(seed))
        assert not short
        (frame,) = clip
        is_mirrored = frame[32, 24, 2] < frame[32, 72, 2]
        check_photo(frame[:, ::-1] if is_mirrored else frame)


@pytest.mark.parametrize("name", PHOTOS)
def test_photo_reconstructed_or_encoded_and_decoded(hunt, tmp_path, session, name):
    sources = find_sources(tmp_path / "out", hunt / name)
    assert reconstruct(session, sources, tmp_path / "out", saving=Saving("none", folders=True)) == 0
    stem = sources[0].stem
    check_photo(read_image(tmp_path / "out_ori" / f"{stem}.png"))
    check_photo(read_image(tmp_path / "out_rec" / f"{stem}.png"), 8, grey=True)
    assert encode_files(session, sources, tmp_path / "latents") == 0
    assert decode_files(session, tmp_path / "latents", tmp_path / "back") == 0
    check_photo(read_image(tmp_path / "back" / f"{stem}.png"), 8, grey=True)


def test_a_folder_with_links_holds_each_clip_once(hunt, tmp_path, session):
    with tarfile.open(hunt / "linked_folder.tar.gz") as archive:
        archive.extractall(tmp_path)
    expected = ["a.mp4", "linked/b.mp4", "linked/deep/c.mp4"]
    found = find_media(tmp_path / "clips", leave_out=tmp_path / "out")
    assert [path.relative_to(tmp_path / "clips").as_posix() for path in found] == expected
    assert (
        len(TrainingData(DataConfig(video_folder=str(tmp_path / "clips"), **CONFIG), 0, Share(1)).files["video"]) == 3
    )
    assert len(list(validation_clips(DataConfig(video_folder=str(tmp_path / "clips"), **CONFIG)))) == 3
    sources = find_sources(tmp_path / "out", tmp_path / "clips")
    assert [source.name for source in sources] == expected
    assert reconstruct(session, sources, tmp_path / "out") == 0
    assert encode_files(session, sources, tmp_path / "latents") == 0
    assert decode_files(session, tmp_path / "latents", tmp_path / "back") == 0
    assert {path.relative_to(tmp_path / "back").as_posix() for path in (tmp_path / "back").rglob("*.mp4")} == {
        *expected
    }


def test_an_absurd_header_read_and_for_training_and_validation(hunt, tmp_path):
    path = Path(shutil.copy(hunt / BROKEN, tmp_path))
    config = DataConfig(video_folder=str(tmp_path), **CONFIG)
    for seed in range(60):
        with pytest.raises(InputError, match=BROKEN):
            read_training_clip(path, (FRAMES, 96, 160), config, np.random.default_rng(seed))
    for read in (lambda: list(read_frames(path)), lambda: read_frames_at(path, [3]), lambda: probe(path)):
        with pytest.raises(InputError, match=BROKEN):
            read()
    (clip,) = validation_clips(config)
    assert clip.frames is None and BROKEN in clip.reason


def test_an_absurd_header_reconstructed_or_encoded_beside_others(hunt, tmp_path, session):
    for name in (BROKEN, "phone.3gp"):
        shutil.copy(hunt / name, tmp_path)
    sources = find_sources(tmp_path / "out", tmp_path)
    assert reconstruct(session, sources, tmp_path / "out") == 1
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert [row["file"] for row in report["clips"]] == ["phone.3gp"]
    assert BROKEN in report["failed"][0]["why"]
    assert encode_files(session, sources, tmp_path / "latents") == 1
    assert decode_files(session, tmp_path / "latents", tmp_path / "back") == 0
    assert [path.name for path in (tmp_path / "back").glob("*.mp4")] == ["phone.mp4"]


PANORAMA = "panorama_20000x9000.png"


def check_panorama(picture, shape=(9000, 20000, 3)):
    assert picture.shape == shape and not picture.any()


@pytest.mark.slow
def test_panorama_read_and_for_training_and_validation(hunt, tmp_path):
    check_panorama(read_image(hunt / PANORAMA))
    shutil.copy(hunt / PANORAMA, tmp_path)
    config = DataConfig(image_folder=str(tmp_path), mixed_strategy="image_only", image_size=(96, 128))
    clip, _ = read_training_clip(tmp_path / PANORAMA, (1, 96, 128), config, np.random.default_rng(0))
    check_panorama(clip[0], (96, 128, 3))
    (clip,) = validation_clips(config)
    check_panorama(clip.frames[0], (96, 128, 3))


@pytest.mark.slow
def test_panorama_reconstructed_or_encoded_and_decoded_by_tiles(hunt, tmp_path, session):
    sources = find_sources(tmp_path / "out", hunt / PANORAMA)
    metrics = choose_metrics(["psnr"])
    assert reconstruct(session, sources, tmp_path / "out", metrics=metrics, saving=Saving("none", folders=True)) == 0
    (recon,) = (tmp_path / "out_rec").iterdir()
    check_panorama(read_image(recon))
    assert encode_files(session, sources, tmp_path / "latents") == 0
    assert decode_files(session, tmp_path / "latents", tmp_path / "back") == 0
    (back,) = (tmp_path / "back").glob("*.png")
    check_panorama(read_image(back))


def test_nothing_of_the_folder_is_left_out_without_a_word(hunt, tmp_path, caplog):
    caplog.set_level("INFO")
    found = find_media(hunt, leave_out=tmp_path)
    others = [path for path in hunt.iterdir() if path.suffix.lower() not in MEDIA]
    assert {path.name for path in found} >= {*VIDEOS, "panorama_20000x9000.png"}
    assert len(found) + len(others) == len(list(hunt.iterdir()))
    assert f"{len(others)} files of" in caplog.text


def test_a_shift_of_null_is_none(hunt, shared, tmp_path):
    shutil.copy(shared / "golden" / "sd35_mini" / "diffusion_pytorch_model.safetensors", tmp_path)
    shutil.copy(hunt / "config_null_shift.json", tmp_path / "config.json")
    model = families.load(tmp_path)
    np.testing.assert_allclose(model.scale(np.full((1, model.channels_in_latent, 1, 1, 1), 3.0, np.float32)), 1.5)
