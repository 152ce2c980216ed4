"""Headers of an answer: kept as the bytes that came, and read when somebody asks for one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class AnswerHeaders(Mapping[str, str]):
    """Names in lower case to values; lookups ignore the case. Of a name that came twice, the first value counts.

    Args:
        head: The status line and the lines of the headers, which the parser has accepted.
    """

    __slots__ = ("_head", "_read")

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._read: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        found = self._read
        if found is None:
            found = self._read = {}
            for line in self._head.lstrip(b"\r\n").split(b"\n")[1:]:
                name, _, value = line.partition(b":")
                if name:
                    found.setdefault(_text(name).lower(), _text(value))
        return found

    def __getitem__(self, name: str) -> str:
        return self._all()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"AnswerHeaders({self._all()})"


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape").strip(" \t\r")


def head_of(data: bytes, skipped: int) -> bytes:
    """The lines of the head in these bytes, after so many informational ones. Lines may end with LF alone.

    Blank lines may come before each head: the parser accepts them.
    """
    data = data.lstrip(b"\r\n")
    for _ in range(skipped):
        found = _BLANK_LINE.search(data)
        data = data if found is None else data[found.end() :].lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    head = data[:end]
    if end >= 0 and head.find(b"\n\n") < 0 and head.find(b"\n\r\n") < 0:
        return head
    found = _BLANK_LINE.search(data)
    return data if found is None else data[: found.start()]
