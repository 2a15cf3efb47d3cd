"""One run at a time where results go: a lock of the operating system, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mg.errors import InputError, OutputError
from mg.files import make_folder, remove_parts

_NAME = ".lock"


class Held:
    """A folder, or a file that is to be written, which no other run may write to meanwhile; made by `hold_folder`."""

    def __init__(self, path: Path, lock: Path, file: int | None = None):
        self.path, self._lock, self._file = path, lock, file  # the file is None where another rank holds it

    def check(self) -> None:
        """Raise OutputError if the folder was removed or replaced since: what follows would be half of the results."""
        if self._file is not None and not _is_at(self._file, self._lock):
            raise OutputError(f"'{self.path}' was removed or replaced during the run; run it again")


@contextmanager
def hold_folder(folder: Path | str, rank: int = 0) -> Iterator[Held]:
    """Keep other runs out of `folder`, which is created, while the block runs; rank 0 does so for all ranks.

    What killed runs have left there is removed: hidden temporary files, also further down, but not where another run is
    at work. Raises InputError, naming the run, if there is one in `folder`, and OutputError if it cannot be written to.
    """
    path = make_folder(folder)
    if rank > 0:
        yield Held(path, path / _NAME)
        return
    with _held(path, path / _NAME, "--output_path") as held:
        if not any(is_busy(above) for above in path.resolve().parents):
            _clean(path)
        yield held
        held.check()


@contextmanager
def hold_file(path: Path | str) -> Iterator[Held]:
    """The same for one file, whose folder is created; other files beside it are no concern of it."""
    path = Path(path)
    folder = make_folder(path.parent)
    with _held(path, folder / f".{path.name[:200]}{_NAME}", "file") as held:
        remove_parts(folder, path)
        yield held
        held.check()


@contextmanager
def _held(path: Path, lock: Path, what: str) -> Iterator[Held]:
    file = _take(lock)
    if file is None:
        holder = _holder(lock)
        raise InputError(f"another run{holder} is writing to '{path}'; wait for it, or name another {what}")
    try:
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}, {Path(sys.argv[0]).name}\n".encode())
        yield Held(path, lock, file)
    finally:
        if _is_at(file, lock):
            lock.unlink()  # before it is let go of, so that nobody else holds it by then
        os.close(file)


def _take(lock: Path) -> int | None:
    """An open file that is locked; None if another process has locked it. Closing it ends the lock."""
    while True:
        try:
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(f"cannot write '{lock}' ({error.strerror}); change its permissions") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except OSError as error:
            os.close(file)
            raise OutputError(f"'{lock}' cannot be locked ({error.strerror}); name a folder on another disk") from None
        if _is_at(file, lock):
            return file
        os.close(file)  # whoever held it has removed it in between


def _is_at(file: int, lock: Path) -> bool:
    """Whether an open file is what stands under the name `lock`."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(lock))
    except OSError:
        return False


def is_busy(folder: Path) -> bool:
    """Whether a run holds the folder."""
    try:
        file = os.open(folder / _NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(file)


def _holder(lock: Path) -> str:
    """Who holds a lock, in brackets."""
    try:
        return f" ({text})" if (text := lock.read_text().strip()) else ""
    except OSError:
        return ""


def _clean(folder: Path) -> None:
    """Remove what killed runs have left in a folder and below, but not where one is at work."""
    for place, below, _ in os.walk(folder):
        here = Path(place)
        below[:] = [name for name in below if not is_busy(here / name)]
        remove_parts(here)
