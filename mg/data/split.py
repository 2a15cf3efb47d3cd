"""Which files of a folder are for training and which for testing, and the CSVs that say so."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from mg.errors import InputError
from mg.files import require_file, whole_file


def official_split(folder: Path | str, number: int) -> tuple[list[str], list[str]]:
    """The (training, test) names of UCF-101's official split 1, 2 or 3.

    folder: with trainlist01.txt, testlist01.txt and so on. Their lines are `Class/v_Class_g01_c01.avi`, with a class
    number behind it for training.
    """
    return tuple(_read_names(Path(folder) / f"{part}list{number:02}.txt") for part in ("train", "test"))


def seeded_split(names: Iterable[str], test_share: float, seed: int) -> tuple[list[str], list[str]]:
    """(training, test) names, at least one each; which are for testing is a function of the seed and the names alone.

    Clips cut from one recording may end up on both sides: prefer a data set's own split.
    """
    if not 0 < test_share < 1:
        raise InputError(f"test_share={test_share} must lie between 0 and 1")
    shuffled = sorted(set(names), key=lambda name: sha256(f"{seed}/{name}".encode()).digest())
    if len(shuffled) < 2:
        raise InputError(f"{len(shuffled)} file cannot be split into training and test; add more")
    tests = min(max(round(len(shuffled) * test_share), 1), len(shuffled) - 1)
    return sorted(shuffled[tests:]), sorted(shuffled[:tests])


def keep_present(names: Iterable[str], present: Iterable[str], skip_missing: bool) -> list[str]:
    """The names that are present, sorted. Raises InputError for others, unless `skip_missing` leaves them out."""
    names, present = set(names), set(present)
    missing = sorted(names - present)
    if missing and not skip_missing:
        raise InputError(
            f"{len(missing)} of {len(names)} files of the split are not in the folder: {', '.join(missing[:5])}"
            f"{', …' if len(missing) > 5 else ''}; check the folder, or leave them out with --skip_missing"
        )
    if not names & present:
        raise InputError(f"none of the {len(names)} files of the split is in the folder; check both folders")
    return sorted(names & present)


def write_csv(path: Path | str, names: Iterable[str]) -> None:
    """A CSV with the one column `video`."""
    names = list(names)
    broken = [name for name in names if not name.isprintable()]
    if broken:
        raise InputError(f"{len(broken)} file names cannot be written to a CSV ({broken[0]!a}, ...); rename the files")
    with whole_file(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["video"], *([name] for name in names)])


def _read_names(path: Path) -> list[str]:
    try:
        lines = require_file(path, "a list of UCF-101's official split").read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is no text in UTF-8 ({error.reason}); copy or download it again") from None
    return [re.sub(r"\s+\d+$", "", line.strip()) for line in lines if line.strip()]
