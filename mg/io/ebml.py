"""Elements of Matroska and WebM (EBML, RFC 8794)."""

from __future__ import annotations

from collections.abc import Iterator

UNKNOWN = 1 << 62  # a length that is not said
HEAD = 12  # bytes that name and length of an element take at most


def element(head: bytes) -> tuple[int, int, int] | None:
    """Name and length of an element, and where its content begins; None at the end, or where there is none."""
    if len(head) < 2 or not head[0]:
        return None
    long = 9 - head[0].bit_length()
    size = 9 - head[long].bit_length() if len(head) > long else 9
    if size > 8 or len(head) < long + size:
        return None
    bits, most = int.from_bytes(head[long : long + size], "big"), (1 << 7 * size) - 1
    length = UNKNOWN if bits & most == most else bits & most
    return int.from_bytes(head[:long], "big"), length, long + size


def elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Name and content of each element in one."""
    while (found := element(content[:HEAD])) is not None:
        name, length, start = found
        yield name, content[start : start + length]
        content = content[start + length :]
