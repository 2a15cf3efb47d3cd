"""Files whole or not at all: temporary names, renames, hashes; and which files are in a folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from mg.errors import InputError, OutputError

PART = ".part"
_DIGITS = 8
_STRAY = re.compile(rf"\.([0-9a-f]{{12,16}}{PART}|write_test\.\d+$)")

logger = logging.getLogger(__name__)


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


def files_below(folder: Path | str, suffixes: Iterable[str], tell: bool = False) -> list[Path]:
    """All files below `folder` with one of the suffixes, in small or large letters, that are not hidden, sorted.

    Links to folders are followed, and no folder is searched twice. tell: say in the log how many others there are.
    """
    files = [path for path in sorted(_below(Path(folder))) if not path.name.startswith(".")]
    found = [path for path in files if path.suffix.lower() in suffixes]
    others = Counter(path.suffix.lower() or "no suffix" for path in files if path.suffix.lower() not in suffixes)
    if others and tell:
        kinds = ", ".join(f"{suffix} ({number})" for suffix, number in others.most_common())
        logger.info("%d files of '%s' are of other kinds and left out: %s", sum(others.values()), folder, kinds)
    return found


def _below(folder: Path) -> Iterator[Path]:
    """All files below a folder; of folders with several names, those that are no links come first."""
    searched, waiting, links = set(), [folder], []
    while waiting or links:
        current = waiting.pop() if waiting else links.pop(0)
        if (place := os.path.realpath(current)) in searched:
            continue
        searched.add(place)
        with suppress(PermissionError), os.scandir(current) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.is_dir():
                    yield Path(entry.path)
                elif entry.is_symlink():
                    links.append(Path(entry.path))
                else:
                    waiting.append(Path(entry.path))


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes; of a list of shards, of theirs as well."""
    digest = hashlib.sha256()
    for file in (path, *shards(path)):
        with open(file, "rb") as opened:
            for block in iter(lambda: opened.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()


def shards(path: Path | str) -> list[Path]:
    """The files that an index of weights, .index.json or .index.fp16.json, lists, sorted; none of another file.

    Raises InputError for an index that lists none, or files that are not beside it.
    """
    path = Path(path)
    if not re.search(r"\.index(\.\w+)?\.json$", path.name):
        return []
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        fine = names and all(Path(name).name == name for name in names)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        fine = False
    if not fine:
        raise InputError(f"'{path}' is no list of the files that weights are stored in; copy or download it again")
    missing = [name for name in names if not path.with_name(name).is_file()]
    if missing:
        raise InputError(f"'{path}' lists '{missing[0]}', which is not beside it; copy or download all of its files")
    return [path.with_name(name) for name in names]


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
