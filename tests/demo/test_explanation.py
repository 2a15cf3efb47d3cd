"""What the web page shows, without the page: limits, the work, pictures, and whose thread it is done in."""

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, check_one_line_error, run
from media import write_clip

from mg.demo.explain import explain
from mg.demo.limits import Limits, Request
from mg.demo.one_thread import OneThread
from mg.demo.pictures import _mosaic, draw_tokens, token_colours
from mg.errors import InputError
from mg.io.image import read_image, write_image
from mg.io.pixels import to_clip, to_frames
from mg.io.video import probe, read_frames
from mg.metrics.psnr import psnr
from mg.models.tiling.tiles import Tiles

LIMITS = Limits(max_frames=16, max_side=64)


def rising(path: Path, frames: int, height: int, width: int) -> Path:
    """Frames whose level rises by 10 from one to the next."""
    levels = [np.full((height, width, 3), 20 + 10 * index, np.uint8) for index in range(frames)]
    return write_clip(path, levels, Fraction(10), crf=0)


def test_a_clip(session, tmp_path):
    source = rising(tmp_path / "clip.mp4", 20, 33, 41)
    told_of = []
    request = Request(source, num_frames=11)
    told = explain(session, request, LIMITS, tmp_path, lambda share, what: told_of.append(share))
    assert [path.name for path in told.clips] == [f"clip_{n}.mp4" for n in ("original", "reconstruction", "difference")]
    for path in told.clips:
        info = probe(path)
        assert (info.frames, info.height, info.width, info.fps) == (11, 33, 41, 10)
    assert told.latent_shape == (4, 6, 17, 21)
    assert told.compression == pytest.approx(3 * 11 * 33 * 41 / (4 * 6 * 17 * 21))
    assert told.notes == ["Cut to the first 11 of 20 frames."]
    captions = [caption for _, caption in told.latents]
    assert captions == [
        *(f"latent frame {index}: frames {2 * index} to {2 * index + 1}" for index in range(5)),
        "latent frame 5: frame 10",
    ]
    assert all(read_image(path).std() > 5 for path in (told.curves, *(path for path, _ in told.latents)))
    assert told_of == sorted(told_of)
    assert 0 <= told_of[0] < told_of[-1] <= 1

    frames = np.stack(list(read_frames(source)))[:11]
    clip = np.pad(to_clip(frames)[None], ((0, 0), (0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
    model = session.model
    recon = to_frames(model.decode(model.encode(clip)[1], 11).asnumpy()[0, :, :, :33, :41])
    assert told.psnr == pytest.approx([psnr(*pair) for pair in zip(frames, recon)], abs=1e-3)
    sampled = explain(session, replace(request, sample=True), LIMITS, tmp_path, lambda *_: None)
    assert sampled.psnr != told.psnr
    assert session.graphs == 2  # encoder and decoder, compiled once


def test_frames_that_are_too_small_are_refused_with_the_remedy_that_the_page_has(session, tmp_path):
    write_image(tmp_path / "tiny.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"'tiny.png' has frames of 8x8; sides of at least 16 .* choose a size"):
        explain(session, Request(tmp_path / "tiny.png", 1), LIMITS, tmp_path, lambda *_: None)


def test_a_file_of_another_kind_is_told_by_its_suffix(session, tmp_path):
    (tmp_path / "text.txt").write_text("only text")
    with pytest.raises(InputError, match=r"text.txt' has the suffix '.txt'; give videos"):
        explain(session, Request(tmp_path / "text.txt", 1), LIMITS, tmp_path, lambda *_: None)


@pytest.mark.parametrize(
    "frames, size, tiles, words",
    [
        (0, None, {}, "number of frames=0"),
        (17, None, {}, "number of frames=17 must be a whole number from 1 to 16"),
        (8, 65, {}, "size=65"),
        (8, None, {"spatial_tile": 32}, "spatial_tile=32"),
        (8, None, {"encode_tile": 8_000_000}, "encode_tile=8000000"),
        (8, None, {"decode_tile": None}, "decode_tile=None"),
        (8, None, {"spatial_overlap": 248}, "spatial_overlap=248"),
        (8, None, {"encode_overlap": -8}, "encode_overlap=-8"),
    ],
)
def test_limits_name_what_they_refuse(frames, size, tiles, words):
    with pytest.raises(InputError, match=words):
        LIMITS.allow(Request(Path("a.mp4"), frames, size, tiles=Tiles(**tiles) if tiles else None))


def test_a_tile_is_not_larger_than_what_is_computed_without_tiles():
    limits = Limits(max_frames=64, max_side=512)
    fine = Tiles(encode_tile=8, encode_context=0, decode_tile=8, decode_overlap=0, spatial_tile=512)
    limits.allow(Request(Path("a.mp4"), 64, 512, tiles=fine))
    for tiles, words in ((fine.but(encode_tile=16), "encode_tile=16"), (fine.but(encode_context=8), "encode_tile=8")):
        with pytest.raises(InputError, match=f"{words} with spatial_tile=512 is more than"):
            limits.allow(Request(Path("a.mp4"), 64, 512, tiles=tiles))
        limits.allow(Request(Path("a.mp4"), 64, 512, tiles=tiles, use_tile=False))


@pytest.mark.parametrize("field", ["max_frames", "max_side", "max_megabytes"])
def test_bad_limits_are_named(field):
    with pytest.raises(InputError, match=f"{field}=0"):
        Limits(**{field: 0})


def test_everything_is_done_in_one_thread_one_after_the_other():
    line, busy, seen = OneThread(most_each=8), threading.Lock(), []

    def task(number: int) -> int:
        assert busy.acquire(blocking=False)
        seen.append(threading.get_ident())
        busy.release()
        return number * number

    def stop(job) -> None:
        raise KeyboardInterrupt

    results = {}
    callers = [threading.Thread(target=lambda n=n: results.update({n: line.do(lambda job: task(n))})) for n in range(8)]

    def ask_for_the_impossible() -> None:
        with pytest.raises(ZeroDivisionError):
            line.do(lambda job: 1 // 0)
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        with pytest.raises(InputError, match="being stopped"):
            line.do(stop)
        results["all"] = True

    asking = threading.Thread(target=ask_for_the_impossible)
    asking.start()
    with pytest.raises(KeyboardInterrupt):
        line.work()
    asking.join(10)
    assert results == {**{n: n * n for n in range(8)}, "all": True}
    assert set(seen) == {threading.get_ident()}


def test_every_channel_is_on_the_sheet_where_its_number_is_written():
    z = np.arange(16.0)[:, None, None] * np.ones((1, 3, 5))
    sheet, corners = _mosaic(z)
    assert len(set(corners)) == 16
    for channel, (top, left) in enumerate(corners):
        assert (sheet[top : top + 3, left : left + 5] == channel).all()
    assert np.isfinite(sheet).sum() == z.size


@pytest.mark.parametrize("bits", [1, 2, 6, 14])
def test_every_token_has_a_colour_of_its_own(bits):
    colours = token_colours(np.arange(2**bits), 2**bits)
    assert len(np.unique(colours, axis=0)) == 2**bits
    assert colours.min() == 0 and colours[-1, : min(bits, 3)].tolist() == [1] * min(bits, 3)
    assert colours[2 ** (bits - 1), 0] >= 0.5  # the most significant bit is most of red


def test_tokens_are_drawn_with_their_numbers(tmp_path):
    """Where there is room for them."""
    for width in (4, 13):
        draw_tokens(tmp_path / f"{width}.png", np.arange(2 * width).reshape(2, width) + 200_000, 2**18)
        picture = read_image(tmp_path / f"{width}.png")
        assert picture.std() > 5 and picture.shape[1] > picture.shape[0]


def test_without_gradio_there_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "gradio.py").write_text('raise ImportError("there is none")')
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    done = run("scripts/demo.py", cwd=tmp_path, code=2)
    check_one_line_error(done, "Gradio 6.31 or a later 6 (there is none)", "'.[demo]'")
    assert "--max_frames" in run("scripts/demo.py", "--help", cwd=tmp_path).stdout
