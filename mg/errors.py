"""The errors that say: what was given cannot be used, or what was made cannot be kept."""


class InputError(ValueError):
    """Something the caller gave is wrong. The message says what, why and what to do, in one line.

    Scripts and tools print it without a traceback and exit with code 2.
    """


class OutputError(InputError):
    """A result cannot be written. Unlike a clip that cannot be used, this ends a run of many clips."""
