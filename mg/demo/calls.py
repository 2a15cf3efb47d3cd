"""What a call of the page may say: which function, with values that its parts can have, and files of this visitor."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

from mg.checks import is_number, is_whole
from mg.errors import InputError

MOST_BYTES = 65_536  # of a call
_MOST_FILES = 4096
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}$")
_LARGEST = 1e9


class Uploads:
    """Files that visitors have sent, under names that only they know and nobody can guess."""

    def __init__(self):
        self._paths: dict[str, Path] = {}

    def name(self, path: str) -> str:
        """What a visitor is told instead of a path; the last part is the file's own name."""
        if len(self._paths) >= _MOST_FILES:
            self._paths = {name: path for name, path in self._paths.items() if path.exists()}
        name = f"upload/{secrets.token_urlsafe(16)}/{Path(path).name}"
        self._paths[name] = Path(path)
        return name

    def allow(self, path: str) -> None:
        """Let everybody use a file by its path."""
        self._paths[path] = Path(path)

    def path(self, name: object) -> str:
        """The file of that name. Raises InputError for anything else, also for a path or an address."""
        path = self._paths.get(name) if isinstance(name, str) else None
        if path is None or not path.is_file():
            raise InputError("that is no file that was uploaded here in the last hour; upload it")
        return str(path)


class Calls:
    """Calls, as they come in, become calls that the page can do; everything else is an InputError.

    functions: Gradio's, by their numbers.
    """

    def __init__(self, functions: dict[int, Any], uploads: Uploads):
        self.functions, self.uploads = functions, uploads

    def checked(self, body: bytes, name: str | None) -> bytes:
        """The call, in JSON, with nothing but what was checked. name: of the function; None: its number is inside."""
        try:
            call = json.loads(body)
        except (ValueError, RecursionError):
            raise InputError("the call is no JSON") from None
        if not isinstance(call, dict) or not isinstance(call.get("data"), list):
            raise InputError('the call must be a mapping with a list "data"')
        function = self._function(name, call.get("fn_index"))
        data, parts = call["data"], function.inputs
        if len(data) != len(parts):
            raise InputError(f"{len(data)} values were given, but the function takes {len(parts)}")
        clean = {"data": [self._value(part, value) for part, value in zip(parts, data)]}
        session = call.get("session_hash")
        if session is not None or name is None:
            if not isinstance(session, str) or not _SESSION.match(session):
                raise InputError("session_hash must be up to 64 letters and digits")
            clean["session_hash"] = session
        if name is None:
            trigger = call.get("trigger_id")
            clean |= {"fn_index": call["fn_index"], "trigger_id": trigger if is_whole(trigger) else None}
        return json.dumps(clean).encode()

    def _function(self, name: str | None, number: object) -> Any:
        if name is None:
            known = is_whole(number) and number in self.functions
            function = self.functions[number] if known else None
        else:
            function = next((one for one in self.functions.values() if one.api_name == name), None)
        if function is None:
            raise InputError("there is no such function; the foot of the page lists those that there are")
        return function

    def _value(self, part: Any, value: object) -> object:
        """A value that a part of the page can have. Raises InputError naming the part."""
        kind = type(part).__name__
        if kind == "File":
            if value is None:
                return None
            path = self.uploads.path(value.get("path") if isinstance(value, dict) else None)
            return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}
        if kind in ("Dropdown", "Radio"):
            fine = any(type(value) is type(choice) and value == choice for _, choice in part.choices)
        elif kind == "Slider":
            fine = is_number(value) and part.minimum <= value <= part.maximum
        elif kind == "Number":
            fine = value is None or (is_number(value) and abs(value) <= _LARGEST)
        else:
            fine = kind == "Checkbox" and isinstance(value, bool)
        if not fine:
            raise InputError(f"{part.label}: {value!r:.60} cannot be chosen")
        return value
