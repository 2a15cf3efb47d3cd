"""Files whole or not at all: temporary names, renames, hashes; and which files are in a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from mg.errors import InputError


def make_folder(folder: Path | str) -> Path:
    """Create `folder` and check that files can be written there."""
    if not str(folder).strip():
        raise InputError("a folder is an empty name; name one")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file, but results need a folder; name another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write_test.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write to folder '{folder}': {error.strerror}; name another folder or change its permissions"
        ) from None
    return folder


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    The temporary name is hidden, contains `.part` and keeps the suffix. An interrupted run leaves what was at `path`.
    """
    path = Path(path)
    make_folder(path.parent)
    if path.is_dir():
        raise InputError(f"cannot write '{path}': it is a folder; name a file")
    stem = f".{uuid4().hex[:12]}.part"
    part = path.with_name(f"{stem}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise InputError(
            f"cannot write '{path}': {error.strerror or error}; free some space or name another place"
        ) from error
    finally:
        for rest in path.parent.glob(f"{stem}*"):  # MindSpore adds a temporary name of its own
            rest.unlink()


def files_below(folder: Path | str, suffixes: Iterable[str]) -> list[Path]:
    """All files below `folder` with one of the suffixes, in small or large letters, that are not hidden, sorted."""
    return [
        path
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and not path.is_dir()
    ]


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def require_file(path: Path | str, what: str) -> Path:
    """Return `path` if it names a file with at least one byte; `what` says in the error what was wanted."""
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"no file '{path}' ({error.strerror}); {what} was expected there: check the path") from None
    if path.is_dir():
        raise InputError(f"'{path}' is a folder, but {what} is a file; name the file itself")
    if size == 0:
        raise InputError(f"'{path}' is empty (0 bytes), so it is not {what}; copy or download it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"'{path}' cannot be read: permission denied; change its permissions")
    return path
