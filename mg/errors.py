"""The one error that says: what was given cannot be used."""


class InputError(ValueError):
    """Something the caller gave is wrong. The message says what, why and what to do, in one line.

    Scripts and tools print it without a traceback and exit with code 2.
    """
