"""What the web page shows, without the page: limits, the work, pictures, and whose thread it is done in."""

import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import NANO, ROOT, check_one_line_error, randomise, run

from mg.demo.explain import explain
from mg.demo.limits import Limits, Request
from mg.demo.one_thread import OneThread
from mg.demo.pictures import _mosaic
from mg.errors import InputError
from mg.inference.models import Models
from mg.io.image import read_image
from mg.io.pixels import to_clip, to_frames
from mg.io.video import probe, read_frames, write_video
from mg.metrics.psnr import psnr
from mg.models.tae.tae import TemporalAutoencoder
from mg.models.tiling.stream import Tiles

LIMITS = Limits(max_frames=16, max_side=64)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Models:
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    randomise(TemporalAutoencoder(NANO)).save(path)
    return Models(path, "fp32", None)


def write_clip(path: Path, frames: int, height: int, width: int) -> Path:
    """Frames whose level rises by 10 from one to the next."""
    with write_video(path, Fraction(10), crf=0) as file:
        for index in range(frames):
            file.write(np.full((height, width, 3), 20 + 10 * index, np.uint8))
    return path


def test_a_clip(models, tmp_path):
    source = write_clip(tmp_path / "clip.mp4", 20, 33, 41)
    told_of = []
    request = Request(source, num_frames=11)
    told = explain(models, request, LIMITS, tmp_path, lambda share, what: told_of.append(share))
    assert [path.name for path in told.clips] == [f"clip_{n}.mp4" for n in ("original", "reconstruction", "difference")]
    for path in told.clips:
        info = probe(path)
        assert (info.frames, info.height, info.width, info.fps) == (11, 33, 41, 10)
    assert told.latent_shape == (4, 2, 5, 6)
    assert told.compression == pytest.approx(3 * 11 * 33 * 41 / (4 * 2 * 5 * 6))
    assert told.notes == ["Cut to the first 11 of 20 frames."]
    captions = [caption for _, caption in told.latents]
    assert captions == ["latent frame 0: frames 0 to 7", "latent frame 1: frames 8 to 10"]
    assert all(read_image(path).std() > 5 for path in (told.curves, *(path for path, _ in told.latents)))
    assert told_of == sorted(told_of)
    assert 0 <= told_of[0] < told_of[-1] <= 1

    frames = np.stack(list(read_frames(source)))[:11]
    clip = np.pad(to_clip(frames)[None], ((0, 0), (0, 0), (0, 0), (0, 7), (0, 7)), mode="edge")
    recon = to_frames(models.tae.decode(models.tae.encode(clip)[1], 11).asnumpy()[0, :, :, :33, :41])
    assert told.psnr == pytest.approx([psnr(*pair) for pair in zip(frames, recon)], abs=1e-3)
    sampled = explain(models, replace(request, sample=True), LIMITS, tmp_path, lambda *_: None)
    assert sampled.psnr != told.psnr
    assert models.graphs == 2  # encoder and decoder, compiled once


@pytest.mark.parametrize(
    "request_, words",
    [
        (Request(Path("a.mp4"), 0), "number of frames=0"),
        (Request(Path("a.mp4"), 17), "number of frames=17 must be a whole number from 1 to 16"),
        (Request(Path("a.mp4"), 8, size=65), "size=65"),
        (Request(Path("a.mp4"), 8, tiles=Tiles(spatial_tile=32)), "spatial_tile=32"),
        (Request(Path("a.mp4"), 8, tiles=Tiles(encode_tile=8_000_000)), "encode_tile=8000000"),
        (Request(Path("a.mp4"), 8, tiles=Tiles(decode_tile=None)), "decode_tile=None"),
        (Request(Path("a.mp4"), 8, tiles=Tiles(spatial_overlap=248)), "spatial_overlap=248"),
        (Request(Path("a.mp4"), 8, tiles=Tiles(encode_overlap=-8)), "encode_overlap=-8"),
    ],
)
def test_limits_name_what_they_refuse(request_, words):
    with pytest.raises(InputError, match=words):
        LIMITS.check(request_)


def test_a_tile_is_not_larger_than_what_is_computed_without_tiles():
    limits = Limits(max_frames=64, max_side=512)
    limits.check(Request(Path("a.mp4"), 64, 512, tiles=Tiles(8, 0, 8, 0, 512, 64)))
    with pytest.raises(InputError, match="encode_tile=16 with spatial_tile=512 is more than"):
        limits.check(Request(Path("a.mp4"), 64, 512, tiles=Tiles(16, 0, 8, 0, 512, 64)))


@pytest.mark.parametrize("field", ["max_frames", "max_side", "max_megabytes"])
def test_bad_limits_are_named(field):
    with pytest.raises(InputError, match=f"{field}=0"):
        Limits(**{field: 0})


def test_everything_is_done_in_one_thread_one_after_the_other():
    line, busy, seen = OneThread(), threading.Lock(), []

    def task(number: int) -> int:
        assert busy.acquire(blocking=False)
        seen.append(threading.get_ident())
        busy.release()
        return number * number

    def stop() -> None:
        raise KeyboardInterrupt

    results = {}
    callers = [threading.Thread(target=lambda n=n: results.update({n: line.do(lambda: task(n))})) for n in range(8)]

    def ask_for_the_impossible() -> None:
        with pytest.raises(ZeroDivisionError):
            line.do(lambda: 1 // 0)
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


def test_without_gradio_there_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "gradio.py").write_text('raise ImportError("there is none")')
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    done = run("scripts/demo_tae.py", cwd=tmp_path, code=2)
    check_one_line_error(done, "Gradio 6.31 or a later 6 (there is none)", "'.[demo]'")
    assert "--max_frames" in run("scripts/demo_tae.py", "--help", cwd=tmp_path).stdout
