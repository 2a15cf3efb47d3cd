"""What is found at a place in a file."""

from __future__ import annotations

from typing import NamedTuple

ANEW = "a clock begins anew"  # no damage: another recording may be joined there


class Place(NamedTuple):
    """A place up to which a file was looked at; what is wrong there, None for nothing."""

    place: int
    wrong: str | None = None
