"""Command lines as users of other programs write them, in this package's flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mg.data.file_lists import root_of


def translate(arguments: Sequence[str], names: Mapping[str, str], first: str) -> list[str]:
    """Flags with hyphens get underscores, then those of `names` their name here; a first word that is no flag is
    the value of the flag `first`.
    """
    words = list(arguments)
    if words and not words[0].startswith("-"):
        words.insert(0, f"--{first}")
    return [_translated(word, names) for word in words]


def with_video_folder(arguments: Sequence[str]) -> list[str]:
    """The same with --video_folder, which a --csv_path of absolute names does not need. Raises InputError."""
    words = list(arguments)
    table = value_of(words, "csv_path")
    if table is None or value_of(words, "video_folder") is not None:
        return words
    return [*words, "--video_folder", root_of(table)]


def value_of(arguments: Sequence[str], name: str) -> str | None:
    """The last value that a flag is given, as --name VALUE or --name=VALUE; None without."""
    found = [word.partition("=")[2] for word in arguments if word.startswith(f"--{name}=")]
    found += [after for word, after in zip(arguments, arguments[1:]) if word == f"--{name}"]
    return found[-1] if found else None


def as_flags(settings: Mapping[str, Any]) -> list[str]:
    """Settings of a file as a command line has them: a switch that is on is its name alone, one that is off nothing."""
    words = []
    for name, value in settings.items():
        if value is False or value is None:
            continue
        words.append(f"--{name}")
        if value is not True:
            words += map(str, value if isinstance(value, list) else [value])
    return words


def _translated(word: str, names: Mapping[str, str]) -> str:
    if not word.startswith("--"):
        return word
    flag, equals, value = word[2:].partition("=")
    flag = flag.replace("-", "_")
    return f"--{names.get(flag, flag)}{equals}{value}"
