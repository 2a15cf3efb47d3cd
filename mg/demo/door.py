"""Who may come in, and with what: everything that a request is checked for before Gradio sees it."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mg.demo.calls import MOST_BYTES, Calls
from mg.errors import InputError

logger = logging.getLogger(__name__)

_PREFIX = "/gradio_api"
_PAGES = re.compile(
    r"/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon(/\d+)?|(assets|static|svelte)/.*)?$"
    rf"|{_PREFIX}/(info/?|startup-events|app_id/?|theme\.css|queue/data|upload_progress|heartbeat/[\w-]+|call/\w+/\w+)$"
)
_CALL = re.compile(rf"{_PREFIX}/(queue/join|call/(?P<name>\w+))/?$")
_SMALL = re.compile(rf"{_PREFIX}/(cancel|reset)/?$")
_UPLOAD, _FILE = f"{_PREFIX}/upload", f"{_PREFIX}/file="
_ROOM = 65_536  # bytes of an upload around its file
_UPLOADS_KEPT = 10  # of the largest size
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = ("0.0.0.0", "::")


class _Refused(InputError):
    """The answer to a request that is not let in."""

    def __init__(self, code: int, why: str):
        super().__init__(why)
        self.code = code


class Hosts:
    """Under which names the page is asked for: its own, and those that were allowed, at any port.

    A page of somebody else that runs in a visitor's browser is thus kept out, also if its own name leads here.
    """

    def __init__(self, host: str, port: int, more: Iterable[str] = ()):
        self.port, self.more = port, {name.lower() for name in more}
        self.any = host in _ANY
        self.own = {host.lower(), *(_LOOPBACK if self.any or host in _LOOPBACK else ())}
        if self.any:
            self.own |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    def knows(self, place: str) -> bool:
        """Whether host[:port] is this page."""
        try:
            parts = urlsplit(f"//{place}")
            name, port = (parts.hostname or "").lower(), parts.port or 80
        except ValueError:
            return False
        return name in self.more or (port == self.port and (name in self.own or (self.any and _is_address(name))))


class Door:
    """ASGI middleware. A request is refused in a line, never with a traceback.

    page: what is behind it. folder: where Gradio keeps files. calls: see `mg.demo.calls`.
    """

    def __init__(self, page: Any, hosts: Hosts, calls: Calls, folder: Path, max_megabytes: int):
        self.page, self.hosts, self.calls, self.folder = page, hosts, calls, folder
        self.most = max_megabytes * 1_000_000

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        """Let a request in, or answer it."""
        if scope["type"] == "lifespan":
            await self.page(scope, receive, send)
            return
        answered = False

        async def answer(message: dict) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self._let_in(scope, receive, answer)
        except InputError as error:
            logger.info("refused: %s", error)
            if not answered:
                await _say(send, getattr(error, "code", 400), str(error))
        except Exception as error:  # Gradio's own, of requests that it does not understand
            logger.warning("%s %s failed: %s: %.200s", scope.get("method"), scope["path"], type(error).__name__, error)
            if not answered:
                await _say(send, 400, "the request cannot be understood")

    async def _let_in(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise _Refused(403, "this page has no such door")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        self._check_sender(headers, path)
        if method in ("GET", "HEAD"):
            await self.page(self._to_read(scope, path), receive, send)
        elif method == "POST" and path.rstrip("/") == _UPLOAD:
            self._check_room(_length(headers, self.most + _ROOM))
            await self._upload(scope, receive, send)
        elif method == "POST" and (found := _CALL.match(path)):
            body = await _body(receive, _length(headers, MOST_BYTES))
            await self.page(*_with_body(scope, self.calls.checked(body, found["name"])), send)
        elif method == "POST" and _SMALL.match(path):
            _length(headers, MOST_BYTES)
            await self.page(scope, receive, send)
        else:
            raise _Refused(404, "there is nothing here")

    def _check_sender(self, headers: dict[str, str], path: str) -> None:
        if not self.hosts.knows(headers.get("host", "")):
            raise _Refused(403, "this page is not known under that name; start it with --allow_host to allow it")
        origin = headers.get("origin")
        if origin is not None and not self.hosts.knows(urlsplit(origin).netloc):
            raise _Refused(403, "requests from other pages are not taken; --allow_host allows some")
        if headers.get("sec-fetch-site") == "cross-site" and path != "/":
            raise _Refused(403, "requests from other pages are not taken")

    def _to_read(self, scope: dict, path: str) -> dict:
        """The request for a page or a file, with a file's path instead of the name that its visitor has."""
        if not path.startswith(_FILE):
            if not _PAGES.match(path):
                raise _Refused(404, "there is nothing here")
            return scope
        name = path[len(_FILE) :]
        if name.startswith("upload/"):
            path = _FILE + self.calls.uploads.path(name)
        elif self.folder.resolve() not in Path(name).resolve().parents:
            raise _Refused(404, "there is no such file")
        return {**scope, "path": path, "raw_path": path.encode()}

    def _check_room(self, length: int) -> None:
        kept = sum(path.stat().st_size for path in list(self.folder.rglob("*")) if path.is_file())
        if kept + length > _UPLOADS_KEPT * self.most:
            raise _Refused(507, "too many files are kept here already; try again in an hour")

    async def _upload(self, scope: dict, receive: Any, send: Any) -> None:
        """Pass an upload on, and answer with names instead of paths."""
        start, body = {}, b""

        async def collect(message: dict) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")

        await self.page(scope, receive, collect)
        if start.get("status") == 200:
            paths = json.loads(body)
            if not paths or not all(map(_is_named, paths)):
                raise InputError("an upload must have a file, and the file a name")
            body = json.dumps([self.calls.uploads.name(path) for path in paths]).encode()
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})


def _is_named(path: str) -> bool:
    return bool(path) and Path(path).is_file()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _length(headers: dict[str, str], most: int) -> int:
    """How long the body says it is."""
    text = headers.get("content-length", "")
    if not text.isdecimal():
        raise _Refused(411, "a request must say how long it is")
    if int(text) > most:
        raise _Refused(413, f"that is too large: {int(text)} bytes, where {most} is the maximum allowed size")
    return int(text)


async def _body(receive: Any, length: int) -> bytes:
    body, more = b"", True
    while more and len(body) <= length:
        message = await receive()
        if message["type"] != "http.request":
            raise InputError("the visitor has gone")
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _with_body(scope: dict, body: bytes) -> tuple[dict, Any]:
    """A request with another body."""
    kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"content-length"]
    sent = False

    async def receive() -> dict:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}, receive


async def _say(send: Any, code: int, why: str) -> None:
    body = json.dumps({"detail": why}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
