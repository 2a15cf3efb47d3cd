"""Tokens of many clips in one flat file that NumPy maps into memory: the only place that knows how.

tokens.bin        nothing but tokens, uint32, little-endian: clip after clip, of each (t, h, w), its last axis fastest
tokens.index.npy  a row for each clip: where it begins and what it is of, see `_row_type`
tokens.json       the header, see `TokenHeader`
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mg.checks import is_whole
from mg.errors import InputError
from mg.files import TogetherWritten, require_file, sha256
from mg.io.latents import Header, Latents

BIN, INDEX, HEADER = "tokens.bin", "tokens.index.npy", "tokens.json"
DTYPE = np.dtype("<u4")
_KIND = {"family": "tokens", "dtype": DTYPE.str, "order": "t h w"}
_COUNTS = ("t", "h", "w", "frames", "height", "width")


@dataclass(frozen=True)
class TokenHeader:
    """What a file says of its tokens, beside their type and order.

    vocabulary_size: tokens are below it. bits: of a token. tokens, clips: how many there are. model: name of the family
    that made them. weights_sha256: of its weights. tokens_sha256, index_sha256: of the other two files.
    """

    vocabulary_size: int
    bits: int
    tokens: int
    clips: int
    model: str | None
    weights_sha256: str
    tokens_sha256: str
    index_sha256: str


def bits_of(vocabulary: int) -> int:
    """How many bits a token of so many has."""
    return (vocabulary - 1).bit_length()


def write_tokens(folder: Path | str, clips: Iterable[tuple[Path, Latents]]) -> TokenHeader:
    """Write the codes of all clips, (where one is from, what is in it), to three files, all of them or none.

    Raises InputError for latents that are no codes, that do not say how many codes there are or hold others, and for
    those of other weights than the first.
    """
    folder, rows, first = Path(folder), [], None
    with TogetherWritten() as files:
        digest, start = hashlib.sha256(), 0
        with open(files.part(folder / BIN), "wb") as file:
            for path, latents in clips:
                first = first or latents.header
                tokens = tokens_of(path, latents, first)
                for receive in (file.write, digest.update):
                    receive(tokens.tobytes())
                rows.append((start, tokens.shape, latents.header))
                start += tokens.size
        if first is None:
            raise InputError("there are no clips, so there is nothing to write; encode some")
        content = io.BytesIO()
        np.save(content, _index_of(rows), allow_pickle=False)
        files.part(folder / INDEX).write_bytes(content.getvalue())
        header = TokenHeader(
            vocabulary_size=first.vocabulary,
            bits=bits_of(first.vocabulary),
            tokens=start,
            clips=len(rows),
            model=first.model,
            weights_sha256=first.weights_sha256,
            tokens_sha256=digest.hexdigest(),
            index_sha256=hashlib.sha256(content.getvalue()).hexdigest(),
        )
        files.part(folder / HEADER).write_text(json.dumps({**_KIND, **asdict(header)}, indent=1) + "\n")
    return header


def tokens_of(path: Path, latents: Latents, first: Header) -> np.ndarray:
    """The tokens (t, h, w) uint32 of a clip of a cache, if it is of the same tokenizer as the first.

    path: of the clip, for what is said. Raises InputError as `write_tokens` does.
    """
    header = latents.header
    if not header.of_codes:
        raise InputError(f"'{path}' holds {header.kind}, but tokens are whole numbers; use a model that gives some")
    if header.vocabulary is None:
        raise InputError(f"'{path}' does not say how many codes there are; encode it again with --overwrite")
    if (header.weights_sha256, header.vocabulary) != (first.weights_sha256, first.vocabulary):
        raise InputError(f"'{path}' is of other weights ({header.weights_sha256}) than files before it; separate them")
    (integers,) = next(iter(latents.arrays.values()))
    if integers.min() < 0 or integers.max() >= header.vocabulary:
        raise InputError(f"'{path}' holds codes outside 0 to {header.vocabulary - 1}; encode the clip again")
    return integers.astype(DTYPE)


class TokenFile:
    """Tokens of many clips; those of clip n are (t, h, w) uint32, a part of the mapped file.

    folder: what `write_tokens` wrote to. verify: compare all tokens with the header's hash, which reads them once.
    Raises InputError for files that are missing, damaged, cut off or of another kind.
    """

    def __init__(self, folder: Path | str, verify: bool = True):
        self.folder = Path(folder)
        self.header = _read_header(self.folder / HEADER)
        self.index = _read_index(self.folder / INDEX, self.header)
        path = require_file(self.folder / BIN, "a file of tokens")
        size, expected = path.stat().st_size, self.header.tokens * DTYPE.itemsize
        if size != expected:
            raise _damaged(path, f"it has {size} bytes instead of {expected}")
        if verify and sha256(path) != self.header.tokens_sha256:
            raise _damaged(path, "its hash is not that of its header")
        self.tokens = np.memmap(path, DTYPE, "r")

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.index)

    def clip(self, number: int) -> np.ndarray:
        """The tokens (t, h, w) of clip `number`. Raises InputError where there is none, or one is no token."""
        if not is_whole(number) or not 0 <= number < len(self):
            raise InputError(f"there is no clip {number} in '{self.folder}'; it has 0 to {len(self) - 1}")
        row = self.index[number]
        shape = tuple(int(row[axis]) for axis in ("t", "h", "w"))
        tokens = self.tokens[int(row["offset"]) :][: int(np.prod(shape))].reshape(shape)
        if tokens.max() >= self.header.vocabulary_size:
            raise _damaged(self.folder / BIN, f"clip {number} has the token {tokens.max()}")
        return tokens

    def clips(self) -> Iterator[np.ndarray]:
        """The tokens of one clip after the other."""
        return map(self.clip, range(len(self)))

    def source(self, number: int) -> str:
        """The relative name of what clip `number` was encoded from."""
        return self.index["source"][number].decode()


def _row_type(source: int, fps: int) -> np.dtype:
    """A row of the index: offset in tokens; latent frames, rows and columns; frames and pixels; rate, "" of an image.

    source, fps: the most bytes of these texts.
    """
    counts = [(name, "<i4") for name in _COUNTS]
    return np.dtype([("offset", "<i8"), *counts, ("fps", f"S{fps}"), ("source", f"S{source}")])


def _index_of(rows: list[tuple[int, tuple[int, ...], Header]]) -> np.ndarray:
    texts = [((header.fps or "").encode(), header.source.encode()) for _, _, header in rows]
    most_fps, most_source = (max(map(len, column)) or 1 for column in zip(*texts))
    values = [
        (start, *shape, header.frames, header.height, header.width, *text)
        for (start, shape, header), text in zip(rows, texts)
    ]
    return np.array(values, _row_type(most_source, most_fps))


def _read_header(path: Path) -> TokenHeader:
    require_file(path, "the header of a file of tokens")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = {name: content.pop(name) for name in _KIND}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"'{path}' is no header of tokens; name a folder of tools/export_tokens.py") from None
    if kind != _KIND:
        raise InputError(f"'{path}' is of {kind}, but {_KIND} is read; name a folder of tools/export_tokens.py")
    if set(content) != {field.name for field in fields(TokenHeader)} or not _is_sound(content):
        raise _damaged(path, "its header is not what was written")
    return TokenHeader(**content)


def _is_sound(content: dict[str, Any]) -> bool:
    counts = [content[name] for name in ("vocabulary_size", "bits", "tokens", "clips")]
    return all(is_whole(count) and count >= 1 for count in counts)


def _read_index(path: Path, header: TokenHeader) -> np.ndarray:
    """The rows, once they are those that the header means and lie end to end."""
    content = require_file(path, "the index of a file of tokens").read_bytes()
    if hashlib.sha256(content).hexdigest() != header.index_sha256:
        raise _damaged(path, "its hash is not that of its header")
    index = _load(path, io.BytesIO(content))
    sizes = index["t"].astype(np.int64) * index["h"] * index["w"]
    ends = np.cumsum(sizes)
    if len(index) != header.clips or ends[-1] != header.tokens or (index["offset"] != ends - sizes).any():
        raise _damaged(path, "its clips do not lie end to end")
    return index


def _load(path: Path, file: BinaryIO) -> np.ndarray:
    try:
        index = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, error) from None
    if index.dtype.names != _row_type(1, 1).names or index.ndim != 1:
        raise _damaged(path, "it has other columns")
    return index


def _damaged(path: Path, reason: object) -> InputError:
    return InputError(f"'{path}' is damaged, cut off or of another export ({reason}); export the tokens again")
