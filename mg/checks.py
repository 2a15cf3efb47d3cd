"""What configurations and arguments are checked by."""

from __future__ import annotations

from mg.errors import InputError


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a whole or floating number; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def require_whole(field: str, value: object, least: int, most: int | None = None) -> None:
    """Raise InputError, naming the field, for what is no whole number from `least` to `most`."""
    if not is_whole(value) or value < least or (most is not None and value > most):
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{field}={value!r} must be a whole number {allowed}")
