"""Files whole or not at all: temporary names, renames, hashes; and which files are in a folder."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from mg.errors import InputError, OutputError

PART = ".part"
_DIGITS = 8
_STRAY = re.compile(rf"\.([0-9a-f]{{12,16}}{PART}|write_test\.\d+$)")


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
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write to folder '{folder}': {error.strerror}; name another folder or change its permissions"
        ) from None
    return folder


class TogetherWritten:
    """Files that get their names together, once all are complete, or not at all; a context.

    Each is written under a hidden temporary name beside its own, which contains `.part`. If the block ends with an
    error, or one of the files cannot get its name, what is still temporary is deleted.
    """

    def __init__(self):
        self._parts: dict[Path, Path] = {}  # by their final names

    def part(self, path: Path | str) -> Path:
        """The temporary path to write what is to be `path`, with its suffix. Raises InputError for a folder."""
        path = Path(path)
        make_folder(path.parent)
        if path.is_dir():
            raise InputError(f"cannot write '{path}': it is a folder; name a file")
        self._parts[path] = path.with_name(f".{tag_of(path)}{uuid4().hex[:_DIGITS]}{PART}{path.suffix}")
        return self._parts[path]

    def __enter__(self) -> TogetherWritten:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _trace: object) -> None:
        path = next(iter(self._parts), None)
        try:
            for path, part in self._parts.items() if kind is None else ():
                os.replace(part, path)
        except OSError as failure:
            error = failure
        finally:
            for part in self._parts.values():  # MindSpore adds a temporary name of its own
                for rest in part.parent.glob(f"{part.name.partition(PART)[0]}*"):
                    rest.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise OutputError(f"cannot write '{path}': {reason}; free some space or name another place") from error


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, delete it otherwise.

    An interrupted run leaves what was at `path`. See `TogetherWritten`, whose own temporary paths are yielded as they
    are: they get their names with the others.
    """
    if _STRAY.match(Path(path).name):
        yield Path(path)
        return
    with TogetherWritten() as files:
        yield files.part(path)


def tag_of(path: Path) -> str:
    """What the temporary names of a file begin with, after the dot."""
    return f"{zlib.crc32(os.fsencode(path.name)):0{_DIGITS}x}"


def remove_parts(folder: Path, of: Path | None = None) -> None:
    """Remove temporary files that killed runs left in `folder` itself; only those of the file `of`, if it is given."""
    for path in folder.glob(".*"):
        if _STRAY.match(path.name) and (of is None or path.name.startswith(f".{tag_of(of)}")):
            path.unlink(missing_ok=True)


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
