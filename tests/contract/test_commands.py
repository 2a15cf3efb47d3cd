"""Every command on a small model of every family: none of them knows which family it is."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction

import mindspore as ms
import numpy as np
import pytest
from calls import call_script
from conftest import graphs, pynative
from kinds import KINDS, build, register
from media import moving_frames, write_clip

from mg.config import write_recipe
from mg.data.latent_dataset import LatentSource
from mg.demo import explain as page
from mg.demo.explain import explain
from mg.demo.limits import Limits, Request
from mg.inference import decode
from mg.inference.outputs import Outputs
from mg.io.image import read_image, write_image
from mg.io.latents import read_header, read_latents
from mg.io.video import probe
from mg.models import families
from mg.models.session import Session
from mg.models.weights import TensorFile

register()

FRAMES = 7  # no multiple of any family's
SOURCES = {"a.mp4": FRAMES, "b.png": 1, "c.mp4": FRAMES}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.family)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def compiled(kind):
    """Whether networks are compiled: of one family, since operators one by one are cheaper."""
    return kind.family == "toy_tokenizer"


@pytest.fixture
def mode(compiled):
    """Flags that choose how networks run."""
    return ("--mode", "graph" if compiled else "pynative")


@pytest.fixture(autouse=True)
def graphs_afterwards():
    """Scripts choose a mode of their own."""
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture(scope="module")
def home(kind, tmp_path_factory):
    """A folder with weights, and with two clips and an image of other sizes in `media`."""
    folder = tmp_path_factory.mktemp(kind.family)
    build(kind).save(folder / "model.safetensors")
    for number, name in enumerate(SOURCES):
        frames = moving_frames(FRAMES, 18, 20)
        if name.endswith(".png"):
            write_image(folder / "media" / name, moving_frames(1, 17, 23)[0])
        else:
            write_clip(folder / "media" / name, frames[number:] + frames[:number], Fraction(30000, 1001))
    return folder


@pytest.fixture
def shown(monkeypatch):
    """Reconstructions of scripts/reconstruct.py by file, in the order of the work, before a video file loses some."""
    frames, add = {}, Outputs.add

    def kept(self, original, recon, spatial):
        frames.setdefault(self.source.name, []).append(recon)
        add(self, original, recon, spatial)

    monkeypatch.setattr(Outputs, "add", kept)
    return frames


@pytest.fixture
def decoded(monkeypatch):
    """What scripts/decode.py decodes, file after file."""
    clips, decode_frames = [], decode.decode_frames

    def kept(*args):
        clips.append(list(decode_frames(*args)))
        return iter(clips[-1])

    monkeypatch.setattr(decode, "decode_frames", kept)
    return clips


def test_reconstruct_encode_and_decode_agree(kind, home, compiled, mode, shown, decoded):
    model = ("--ckpt_path", "model.safetensors", *mode)
    call_script(
        "scripts/reconstruct.py", "--input", "media", *model, "--save_folders", "--output_path", "out", cwd=home
    )
    report = json.loads((home / "out" / "metrics.json").read_text())
    assert report["failed"] == []
    assert [(row["file"], row["frames"]) for row in report["clips"]] == list(SOURCES.items())
    assert report["protocol"]["family"] == kind.family
    assert list(shown) == ["a.mp4", "c.mp4", "b.png"]  # by shape, so that each is compiled once
    assert report["run"]["graphs_compiled"] == (4 if compiled else 0)
    assert probe(home / "out" / "a_recon.mp4") == probe(home / "media" / "a.mp4")
    np.testing.assert_array_equal(read_image(home / "out" / "b_recon.png"), shown["b.png"][0])

    call_script("scripts/encode.py", "--input", "media", *model, "--output_path", "cache", cwd=home)
    call_script("scripts/decode.py", "--input", "cache", *model, "--output_path", "back", cwd=home)
    assert len(decoded) == len(SOURCES)
    for name, frames in zip(SOURCES, decoded):
        np.testing.assert_array_equal(frames, shown[name])
        header, _ = read_header(home / "cache" / f"{name[0]}.safetensors")
        assert (header.model, header.frames, header.source) == (kind.family, SOURCES[name], name)
        latents = families.family_of(kind.family)(dict(kind.config)).latents
        assert (header.kind, header.vocabulary) == (latents.stored_as[0], latents.vocabulary)
        assert header.tiles is not None
    assert probe(home / "back" / "a.mp4") == probe(home / "media" / "a.mp4")


def test_a_stored_sample_is_what_is_reconstructed_from_a_sample(kind, home, mode, shown, decoded):
    if "sample" not in build(kind).latents.stored_as:
        pytest.skip("nothing is drawn of codes")
    files = ("--input", "media/b.png", "--ckpt_path", "model.safetensors", "--seed", 3, *mode)
    results = ("--sample", "--save_videos", "none", "--output_path", "sampled")
    call_script("scripts/reconstruct.py", *files, *results, cwd=home)
    call_script("scripts/encode.py", *files, "--kind", "sample", "--output_path", "samples", cwd=home)
    call_script("scripts/decode.py", "--input", "samples", *files[2:4], *mode, "--output_path", "back", cwd=home)
    np.testing.assert_array_equal(decoded[0], shown["b.png"])


def test_what_is_made_of_a_cache(kind, home):
    """Statistics and a data set. The cache is of the first test."""
    call_script("tools/latent_statistics.py", "--input", "cache", "--output_path", "figures.json", cwd=home)
    figures = json.loads((home / "figures.json").read_text())
    assert figures["files"] == len(SOURCES)
    header, shape = read_header(home / "cache" / "a.safetensors")
    source = LatentSource(home / "cache", codes=header.of_codes)
    assert len(source) == len(SOURCES)
    assert source[0].shape == shape
    assert source[0].dtype == (np.int32 if header.of_codes else np.float32)
    if header.of_codes:
        assert figures["different"] > 1
    else:
        assert len(figures["channels"]) == shape[0]
        raw = LatentSource(home / "cache", scaled=False)[0]
        np.testing.assert_allclose(source[0], build(kind).factors.scale(raw), rtol=1e-6)


def test_folders_are_compared(home):
    """The folders are of the first test."""
    folders = ("--real_video_dir", "out_ori", "--generated_video_dir", "out_rec", "--output_path", "compared")
    call_script("scripts/compare.py", *folders, cwd=home)
    report = json.loads((home / "compared" / "metrics.json").read_text())
    assert report["mean"]["clips"] == len(SOURCES)
    image = next(row for row in report["clips"] if row["kind"] == "image")
    before = json.loads((home / "out" / "metrics.json").read_text())["clips"][1]
    assert image["psnr"] == before["psnr"]  # a PNG loses nothing


def test_the_page_computes_what_the_command_does(kind, home, compiled, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(page, "draw_tokens", lambda path, integers, vocabulary: drawn.append((integers, vocabulary)))
    session = Session(families.load(home / "model.safetensors"))
    with graphs() if compiled else pynative():
        told = explain(session, Request(home / "media" / "a.mp4", FRAMES), Limits(), tmp_path, lambda *_: None)
    row = json.loads((home / "out" / "metrics.json").read_text())["clips"][0]
    assert (told.frames, told.size) == (FRAMES, (18, 20))
    assert (np.mean(told.psnr), np.mean(told.ssim)) == (row["psnr"], row["ssim"])
    model = session.model
    assert told.latent_shape[:2] == (model.channels_in_latent, model.latent_frames(FRAMES))
    assert len(told.latents) == told.latent_shape[1]
    if model.latents.vocabulary is None:
        assert drawn == [] and all(path.exists() for path, _ in told.latents)
    else:  # what the page draws is what the cache has
        (stored,) = read_latents(home / "cache" / "a.safetensors").arrays.values()
        np.testing.assert_array_equal(np.stack([integers for integers, _ in drawn]), stored[0])
        assert {vocabulary for _, vocabulary in drawn} == {model.latents.vocabulary}


STEP_FIGURES = {"distinct", "perplexity", "least_even_bit"}
VALIDATION_FIGURES = {*STEP_FIGURES, "share", "entropy_bits"}
# The toys' operators one by one are cheap; compiled steps, and networks with levels, cost a minute and more.
TRAINED = [
    pytest.param(
        kind,
        mode,
        id=f"{kind.family}-{mode}",
        marks=() if mode == "pynative" and kind.family.startswith("toy") else pytest.mark.slow,
    )
    for kind in KINDS
    for mode in ("pynative", "graph")
]


@pytest.mark.parametrize("trained, how", TRAINED)
def test_training_validates_and_resumes_bit_for_bit(trained, how, tmp_path):
    for seed in range(3):
        write_clip(tmp_path / "clips" / f"{seed}.mp4", moving_frames(9)[seed:])
    write_clip(tmp_path / "judged" / "a.mp4", moving_frames(5))
    sizes = {name: list(value) if isinstance(value, tuple) else value for name, value in trained.config.items()}
    write_recipe(tmp_path / "model.yaml", sizes)
    recipe = {
        **{"model": trained.family, "model_config": "model.yaml", "max_steps": 4, "learning_rate": 1e-3},
        **{"video_folder": "clips", "mixed_strategy": "video_only", "sample_n_frames": 5, "image_size": 16},
        **{"validation_video_folder": "judged", "validation_interval": 2, "checkpoint_interval": 2},
        **{"perceptual_weight": 0.0, "num_workers": 1, "mode": how, **trained.recipe},
    }
    write_recipe(tmp_path / "recipe.yaml", recipe)

    def train(folder, *flags):
        call_script("scripts/train.py", "--config", "recipe.yaml", "--output_path", folder, *flags, cwd=tmp_path)

    train("run")
    shutil.copytree(tmp_path / "run", tmp_path / "four")
    train("run", "--resume", "--max_steps", 6)
    train("six", "--max_steps", 6)
    resumed, whole = (_trained(tmp_path / name) for name in ("run", "six"))
    assert resumed[0] == whole[0]
    for name, array in whole[1].items():
        np.testing.assert_array_equal(array, resumed[1][name])
    steps = [record for record in whole[0] if "total" in record]
    assert [record["step"] for record in steps] == list(range(6))
    assert all(record["kept"] == 1 for record in steps)
    for term in families.family_of(trained.family).terms:
        assert all(np.isfinite(record[term.name]) for record in steps)
    assert len([record for record in whole[0] if record.get("validation_psnr", 0) > 0]) == 3
    pictures = tmp_path / "six" / "validation" / "step_00000006"
    assert list(pictures.glob("*_sheet.png")) and (pictures / "rank0_curves.png").is_file()
    model = families.load(tmp_path / "six" / "last.safetensors")
    assert model.family == trained.family
    check_codes(model.latents.vocabulary, whole[0], tmp_path / "six")


def check_codes(vocabulary, records, run):
    """Steps and validations tell how codes are used, of a family that has some."""
    drawn = list((run / "validation" / "step_00000006").glob("*_codes.png"))
    for prefix, names in (("", STEP_FIGURES), ("validation_", VALIDATION_FIGURES)):
        found = [record for record in records if f"{prefix}total" in record]
        for record in found:
            assert {name for name in record if "codes_" in name} == (
                {f"{prefix}codes_{name}" for name in names} if vocabulary else set()
            )
            if vocabulary:
                perplexity, distinct = (record[f"{prefix}codes_{name}"] for name in ("perplexity", "distinct"))
                assert 1 <= perplexity < distinct + 1e-6 and distinct <= vocabulary
                assert 0 <= record[f"{prefix}codes_least_even_bit"] <= 0.5
        assert found and len(drawn) == (vocabulary is not None)


def _trained(folder):
    """The log without what a clock says, and the last checkpoint."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    log = [{name: value for name, value in record.items() if name not in ("seconds", "waited")} for record in records]
    return log, dict(TensorFile(max((folder / "checkpoints").glob("step_*"))))
