"""scripts/demo.py as visitors use it: over its HTTP API, and (slow) in a browser."""

import re
import shutil
import threading

import numpy as np
import pytest
from media import save_nano, write_clip
from serving import serving

from mg.io.image import read_image, write_image
from mg.io.video import probe

pytest.importorskip("gradio", reason="Gradio is not installed; pip install -e '.[demo]', on Python 3.10 or later")

TILES = (32, 0, 32, 16, 256, 64)

OUTPUTS = (
    "summary",
    *(f"{kind}_{n}" for kind in ("video", "image") for n in range(3)),
    "download",
    "curves",
    "latents",
    "figures",
)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    weights = save_nano(folder / "nano.safetensors")
    limits = ("--max_frames", 9, "--max_side", 64, "--max_megabytes", 1)
    # What is compiled for a page is in test_explanation.py and in the browser's test.
    with serving(folder, "--ckpt_path", weights, "--mode", "pynative", *limits) as url:
        yield url
        # Of all runs, only what Gradio keeps for a while is left.
        assert [path.name for path in next(folder.glob("tmp/mg_demo_*")).iterdir()] == ["gradio"]


@pytest.fixture
def ask(url, tmp_path):
    """Send a file (or None) with choices, and get the page's parts by name."""
    from gradio_client import Client, handle_file

    def ask(path, size=64, frames=9, latents="mean", use_tile=False, tiles=TILES):
        client = Client(url, verbose=False, download_files=str(tmp_path / "got"), analytics_enabled=False)
        file = None if path is None else handle_file(str(path))
        return dict(
            zip(OUTPUTS, client.predict(file, size, frames, latents, use_tile, *tiles, api_name="/reconstruct"))
        )

    return ask


@pytest.fixture
def picture(tmp_path):
    write_image(tmp_path / "picture.png", np.random.default_rng(0).integers(0, 256, (60, 200, 3), np.uint8))
    return tmp_path / "picture.png"


def test_a_real_clip(ask, shared):
    got = ask(shared / "data" / "clips" / "pigs_314x273.gif")
    figures = got["figures"]
    assert (figures["frames"], figures["width"], figures["height"], figures["fps"]) == (9, 64, 64, "10")
    assert figures["latent_shape"] == [4, 5, 32, 32]
    assert figures["notes"][0] == "Cut to the first 9 of 30 frames. This page takes at most 9."
    assert f"{figures['psnr']:.2f} dB" in got["summary"]
    for number in range(3):
        info = probe(got[f"video_{number}"]["value"])
        assert (info.frames, info.width, info.height, info.fps) == (9, 64, 64, 10)
        assert not got[f"image_{number}"]["visible"]
    assert got["download"]["value"].endswith("pigs_314x273_reconstruction.mp4")
    assert read_image(got["curves"]["value"]).std() > 5
    assert [entry["caption"] for entry in got["latents"]["value"]] == [
        *(f"latent frame {index}: frames {2 * index} to {2 * index + 1}" for index in range(4)),
        "latent frame 4: frame 8",
    ]
    assert all(read_image(entry["image"]).std() > 5 for entry in got["latents"]["value"])


def test_an_image_is_scaled_down_to_the_limit(ask, picture):
    got = ask(picture, size=0)
    assert got["figures"]["notes"] == ["Scaled from 200x60 to 64x20. This page takes sides of at most 64."]
    assert got["figures"]["frames"] == 1
    assert not got["video_0"]["visible"]
    assert not got["curves"]["visible"]
    original, recon, difference = (read_image(got[f"image_{number}"]["value"]) for number in range(3))
    assert original.shape == (20, 64, 3)
    assert (difference == np.minimum(4 * np.abs(original.astype(int) - recon), 255)).all()


def write_bad_uploads(folder):
    for name in ("text.txt", "text.mp4", "text.png"):
        (folder / name).write_text("only text")
    (folder / "empty.mp4").touch()
    write_clip(folder / "cut.mp4", np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8))
    content = (folder / "cut.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) // 2])
    write_image(folder / "tiny.png", np.zeros((8, 8, 3), np.uint8))
    (folder / "<img src=x>.mp4").write_text("only text")


BAD = [
    ("text.txt", {}, "'text.txt' has the suffix '.txt'; give videos"),
    ("text.mp4", {}, "'text.mp4' cannot be read as a video"),
    ("text.png", {}, "'text.png' cannot be read as an image"),
    ("empty.mp4", {}, "'empty.mp4' is empty"),
    ("cut.mp4", {}, "'cut.mp4' is cut off"),
    ("tiny.png", {"size": 0}, "'tiny.png' has frames of 8x8; sides of at least 16 are needed: choose a size"),
    (None, {}, "upload a clip or an image"),
    ("tiny.png", {"use_tile": True, "tiles": (32, 0, 32, 32, 256, 64)}, "decode_overlap=32"),
    ("tiny.png", {"use_tile": True, "tiles": (32, 0, 32, 16, 101, 48)}, "spatial_tile=101 must be a positive multiple"),
    ("tiny.png", {"use_tile": True, "tiles": (32, 0, 32, 16, None, 48)}, "spatial_tile=None"),
]


def test_bad_uploads_get_a_message(ask, tmp_path):
    from gradio_client.exceptions import AppError

    write_bad_uploads(tmp_path)
    for name, choices, words in BAD:
        with pytest.raises(AppError) as error:
            ask(name and tmp_path / name, **choices)
        message = str(error.value)
        assert words in message
        assert not re.search(r"Traceback|mg_demo_|gradio", message), message


def test_an_upload_beyond_the_limit_is_refused(ask, tmp_path):
    (tmp_path / "large.mp4").write_bytes(bytes(2 << 20))
    with pytest.raises(Exception, match=r"413|[Mm]aximum|exceed|too large"):
        ask(tmp_path / "large.mp4")


def test_visitors_who_come_at_once_are_served_one_after_the_other(ask, picture, tmp_path):
    got, callers = {}, []
    write_image(tmp_path / "other.png", np.full((64, 200, 3), 90, np.uint8))
    for name in ("picture.png", "other.png", "picture.png", "other.png"):
        key = (name, len(callers))
        callers.append(threading.Thread(target=lambda key=key: got.update({key: ask(tmp_path / key[0], 0)["figures"]})))
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    psnr = {key: figures["psnr"] for key, figures in got.items()}
    assert psnr["picture.png", 0] == psnr["picture.png", 2]
    assert psnr["other.png", 1] == psnr["other.png", 3] != psnr["picture.png", 0]


def test_what_nobody_expected_is_logged_and_said_plainly(monkeypatch, caplog):
    import gradio

    from mg.demo.page import _told_on_the_page

    with pytest.raises(gradio.Error, match="not your fault") as error, _told_on_the_page("/tmp/secret/a.mp4"):
        raise ZeroDivisionError("division of /tmp/secret")
    assert "secret" not in str(error.value)
    assert "ZeroDivisionError" in caplog.text


@pytest.fixture
def browser():
    """Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


PLAYING = """[...document.querySelectorAll(".together video")].filter((v) => v.readyState > 1 && !v.error).map((v) =>
  [v.videoWidth, v.videoHeight])"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.slow
def test_in_a_browser(browser, shared, tmp_path):
    """The shipped weights, a clip of odd size, and a file that is none; nothing is asked of any other host."""
    write_bad_uploads(tmp_path)
    hosts = set()
    with serving(tmp_path) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("request", lambda request: hosts.add(re.sub(r"^(blob:)?\w+://([^/]*).*", r"\2", request.url)))
        page.goto(url)
        page.set_input_files("#upload input[type=file]", shared / "data" / "clips" / "derived_flower_427x241_vp9.webm")
        page.locator("#upload").get_by_text("derived_flower").first.wait_for()
        page.click("#run")
        page.wait_for_selector(".card", timeout=180_000)
        page.wait_for_function(f"{PLAYING}.length == 3")
        assert page.evaluate(PLAYING) == [[427, 241]] * 3
        page.wait_for_selector("#latents img")
        page.wait_for_selector("#curves img")
        page.screenshot(path=tmp_path / "wide.png", full_page=True)
        assert read_image(tmp_path / "wide.png").std() > 30
        assert page.evaluate(OVERFLOW) == 0
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate(OVERFLOW) == 0

        page.goto(url)
        page.set_input_files("#upload input[type=file]", tmp_path / "<img src=x>.mp4")
        page.locator("#upload").get_by_text(".mp4").first.wait_for()
        page.click("#run")
        toast = page.locator(".toast-body")
        toast.wait_for()
        assert "cannot be read as a video" in toast.inner_text()
        assert "mg_demo_" not in toast.inner_text()
        assert toast.locator("img").count() == 0
        assert page.locator(".card").count() == 0
        page.close()
    assert hosts == {url.split("/")[2]}
