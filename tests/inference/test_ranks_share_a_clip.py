"""Two ranks compute each clip of a folder together: what one process writes, also where clips fail."""

import json
import threading

import numpy as np
import pytest
from averages import averaging_session
from media import moving_frames, write_clip
from teams import together

from mg.errors import InputError
from mg.files import sha256
from mg.inference import encode, reconstruct
from mg.inference.clips import find_sources
from mg.inference.decode import decode_files
from mg.inference.options import Options
from mg.inference.outputs import Saving
from mg.io.image import write_image
from mg.io.latents import SUFFIX
from mg.metrics.metric import PerFrame
from mg.models.tiling.team import ALONE

TILES = {"encode_tile": 4, "encode_context": 2, "decode_tile": 4, "decode_overlap": 2}
TILES.update(spatial_tile=16, spatial_overlap=8)


@pytest.fixture
def source(tmp_path):
    """Two clips of several tiles, the second of which is dark, one that is none, and an image."""
    write_clip(tmp_path / "in" / "a.mp4", moving_frames(9, 24, 40))
    write_clip(tmp_path / "in" / "d.mp4", [frame // 8 for frame in moving_frames(9, 24, 40)])
    (tmp_path / "in" / "b.mp4").write_text("no video")
    write_image(tmp_path / "in" / "c.png", moving_frames(1, 24, 40)[0])
    return tmp_path / "in"


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Of each rank."""
    folder = tmp_path_factory.mktemp("weights")
    return [averaging_session(folder / f"{rank}.safetensors", **TILES) for rank in (0, 1)]


@pytest.fixture
def ranks(sessions, monkeypatch):
    """Call `work(session, rank)` as one process, or as each of several ranks."""

    here = threading.local()

    def total(number, ranks):
        return number if ranks == 1 else int(here.team.exchange(np.array([number], np.float32)).sum())

    for module in (encode, reconstruct):
        monkeypatch.setattr(module, "total", total)

    def run(count, work):
        def one(team):
            here.team, session = team, sessions[team.rank]
            session.model.team = team
            return work(session, team.rank)

        return [one(ALONE)] if count == 1 else together(count, one)[0]

    return run


def reconstructing(source, output, batch=1, metrics=lambda rank: None):
    """One rank's part of it, with frames as PNGs."""
    sources, saving = find_sources(output, source), Saving(frames=True)
    options = Options(batch_size=batch)
    return lambda session, rank: reconstruct.reconstruct(session, sources, output, options, metrics(rank), saving)


def results(folder):
    """SHA-256 of the files with frames and figures, and the report but for the run."""
    report = json.loads((folder / "metrics.json").read_text())
    report.pop("run")
    files = {file.relative_to(folder): sha256(file) for file in folder.rglob("*") if file.suffix in (".png", ".csv")}
    return files, report


@pytest.mark.parametrize("batch", [1, 2])
def test_a_folder_is_reconstructed_as_by_one_process(ranks, source, tmp_path, batch):
    assert ranks(1, reconstructing(source, tmp_path / "one", batch)) == [1]
    assert ranks(2, reconstructing(source, tmp_path / "two", batch)) == [1, 1]
    expected, found = results(tmp_path / "one"), results(tmp_path / "two")
    assert found == expected
    assert [row["file"] for row in found[1]["failed"]] == ["b.mp4"]
    assert len(found[0]) > 4 * 9


@pytest.mark.parametrize("batch", [1, 2])
def test_what_rank_0_cannot_measure_fails_and_ranks_stay_in_step(ranks, source, tmp_path, batch):
    def brightness(original, recon):
        if original.mean() < 60:
            raise InputError("it is too dark to be measured")
        return float(recon.mean())

    def measuring(rank):
        return [PerFrame("brightness", brightness if rank == 0 else unused, "mean level")]

    def unused(original, recon):
        raise AssertionError("rank 1 measures nothing")

    assert ranks(2, reconstructing(source, tmp_path / "out", batch, measuring)) == [2, 2]
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(report["clips"]) == 2
    assert [row["file"] for row in report["failed"]] == ["b.mp4", "d.mp4"]
    assert report["failed"][1]["why"] == "it is too dark to be measured"


def test_a_cache_is_made_and_decoded_as_by_one_process(ranks, source, tmp_path):
    def encoding(output):
        sources = find_sources(output, source)
        return lambda session, _: encode.encode_files(session, sources, output)

    assert ranks(1, encoding(tmp_path / "one")) == [1]
    assert ranks(2, encoding(tmp_path / "two")) == [1, 1]
    caches = [
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir() if file.suffix == SUFFIX}
        for name in ("one", "two")
    ]
    assert caches[0] == caches[1] and len(caches[0]) == 3
    (tmp_path / "one" / f"a{SUFFIX}").write_bytes(b"damaged, and longer than eight bytes")
    assert ranks(2, lambda session, _: decode_files(session, tmp_path / "one", tmp_path / "out")) == [1, 1]
    assert ranks(1, lambda session, _: decode_files(session, tmp_path / "one", tmp_path / "alone")) == [1]
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {file.name for file in (tmp_path / "alone").iterdir()} == {"c.png", "d.mp4", "failed.json"}
    assert sha256(tmp_path / "out" / "c.png") == sha256(tmp_path / "alone" / "c.png")
