"""Headers of an answer, kept as they came and decoded when somebody reads one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


class AnswerHeaders(Mapping[str, str]):
    """Names in lower case to values; lookups ignore the case. Of a name that came twice, the first value counts."""

    __slots__ = ("raw",)

    def __init__(self, raw: dict[bytes, bytes]) -> None:
        self.raw = raw

    def __getitem__(self, name: str) -> str:
        return text(self.raw[name.lower().encode("utf-8", "surrogateescape")])

    def __iter__(self) -> Iterator[str]:
        return map(text, self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"AnswerHeaders({dict(self)})"


def text(value: bytes) -> str:
    """A name or value as a text, without blanks around it."""
    return value.decode("utf-8", "surrogateescape").strip(" \t")
