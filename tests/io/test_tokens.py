"""Files of tokens: what NumPy alone reads, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mg.errors import InputError
from mg.io.latents import Header, Latents
from mg.io.tokens import BIN, HEADER, INDEX, TokenFile, write_tokens

IMAGE = Header("codes", "int32", 1, 24, 40, None, "é.png", None, {}, "ab", 1.0, 0.0, "toy", None, 2**18)
CLIP = replace(IMAGE, frames=9, fps="30000/1001", source="sub/b.mp4")


def codes(header, frames, seed=0):
    values = np.random.default_rng(seed).integers(0, header.vocabulary or 8, (1, frames, 3, 5), np.int32)
    return Path(header.source), Latents(header, {"codes": values})


@pytest.fixture
def written(tmp_path):
    """The folder, and the tokens of each clip."""
    clips = [codes(IMAGE, 1), codes(CLIP, 3, 1)]
    write_tokens(tmp_path, clips)
    return tmp_path, [latents.arrays["codes"][0] for _, latents in clips]


def test_numpy_alone_reads_them(written):
    folder, expected = written
    assert {path.name for path in folder.iterdir()} == {BIN, INDEX, HEADER}
    tokens = np.memmap(folder / BIN, np.uint32, "r")
    np.testing.assert_array_equal(tokens, np.concatenate([clip.ravel() for clip in expected]))
    index = np.load(folder / INDEX, allow_pickle=False)
    assert index["offset"].tolist() == [0, 15] and index["t"].tolist() == [1, 3]
    assert [source.decode() for source in index["source"]] == ["é.png", "sub/b.mp4"]
    assert index["fps"].tolist() == [b"", b"30000/1001"] and index["frames"].tolist() == [1, 9]
    header = json.loads((folder / HEADER).read_text())
    assert (header["vocabulary_size"], header["bits"], header["order"]) == (2**18, 18, "t h w")
    assert (header["tokens"], header["clips"], header["weights_sha256"], header["model"]) == (60, 2, "ab", "toy")


def test_the_reader_gives_clips(written):
    folder, expected = written
    file = TokenFile(folder)
    assert len(file) == 2 and file.source(0) == "é.png"
    for number, (clip, tokens) in enumerate(zip(expected, file.clips())):
        assert tokens.dtype == np.uint32 and tokens.shape == clip.shape
        np.testing.assert_array_equal(tokens, clip)
        np.testing.assert_array_equal(file.clip(number), clip)
    for number in (-1, 2, 0.5):
        with pytest.raises(InputError, match="it has 0 to 1"):
            file.clip(number)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def changed(**values):
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


DAMAGE = {
    "cut tokens": (BIN, cut, "239 bytes instead of 240"),
    "a flipped bit": (BIN, flip, "hash"),
    "no tokens": (BIN, Path.unlink, "no file"),
    "empty": (BIN, lambda path: path.write_bytes(b""), "empty"),
    "cut index": (INDEX, cut, "hash"),
    "flipped index": (INDEX, flip, "hash"),
    "no header": (HEADER, Path.unlink, "no file"),
    "cut header": (HEADER, cut, "no header of tokens"),
    "binary header": (HEADER, lambda path: path.write_bytes(b"\xff\xfe{"), "no header of tokens"),
    "a list": (HEADER, lambda path: path.write_text("[1]"), "no header of tokens"),
    "foreign": (HEADER, changed(family="latents"), "'latents'"),
    "another order": (HEADER, changed(order="w h t"), "'w h t'"),
    "another key": (HEADER, changed(more=1), "not what was written"),
    "no number": (HEADER, changed(tokens="60"), "not what was written"),
    "other count": (HEADER, changed(tokens=61), "end to end"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_or_foreign_is_one_line(written, name):
    folder, _ = written
    file, damage, words = DAMAGE[name]
    damage(folder / file)
    if name == "cut header":  # its last bytes are a brace and an end of line
        damage(folder / file)
    with pytest.raises(InputError) as error:
        TokenFile(folder)
    assert words in str(error.value) and "tokens." in str(error.value) and "\n" not in str(error.value)


def test_a_token_outside_the_vocabulary_is_found_where_hashes_are_not_compared(written):
    folder, _ = written
    tokens = np.memmap(folder / BIN, np.uint32, "r+")
    tokens[20] = 2**18
    tokens.flush()
    file = TokenFile(folder, verify=False)
    assert file.clip(0).max() < 2**18
    with pytest.raises(InputError, match=r"clip 1 has the token 262144"):
        file.clip(1)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weights_sha256": "cd"}, "other weights"),
        ({"vocabulary": 2**10}, "other weights"),
        ({"vocabulary": None}, "encode it again with --overwrite"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_nothing_is_left(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        write_tokens(tmp_path, [codes(IMAGE, 1), codes(replace(CLIP, **changes), 3)])
    assert not list(tmp_path.iterdir())


def test_latents_that_are_no_codes_are_refused(tmp_path):
    header = replace(CLIP, kind="sample", dtype="fp32", vocabulary=None)
    latents = Latents(header, {"z": np.zeros((4, 3, 3, 5), np.float32)})
    with pytest.raises(InputError, match="holds sample, but tokens are whole numbers"):
        write_tokens(tmp_path, [(Path("a"), latents)])
    beyond = Latents(replace(CLIP, vocabulary=4), {"codes": np.full((1, 3, 3, 5), 4, np.int32)})
    with pytest.raises(InputError, match="codes outside 0 to 3"):
        write_tokens(tmp_path, [(Path("a"), beyond)])
    with pytest.raises(InputError, match="no clips"):
        write_tokens(tmp_path, [])
    assert not list(tmp_path.iterdir())
