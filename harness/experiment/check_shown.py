"""What `paceline check` shows of a request and an answer: bounded, and without secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.client.redaction import MASK, excerpt, redact
from harness.client.tasks.http.pointer import kind_of, places
from harness.client.transport.connection_settings import SECRET_NAME
from harness.client.transport.endpoint import Access, merged
from harness.client.transport.outcomes import joined
from harness.client.transport.unix_socket import http_of
from harness.client.types import Request, Response

BODY_SHOWN = 2_000
PLACES_SHOWN = 24
NUMBERS_SHOWN = 4  # of a list of numbers
encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder().decode


class Shown(msgspec.Struct, frozen=True):
    """A request or an answer, for people: no secret, bounded."""

    first: str
    headers: dict[str, str]
    body: str
    size: int


class Keeper:
    """Takes any body in the place of the task, so that it can be shown."""

    name = "check"

    def __init__(self) -> None:
        self.body = b""
        self.events: list[bytes] | None = None

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        """Keep a whole body."""
        self.body = body
        return (None,) * len(request.items)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        """Keep the events."""
        self.events = list(events)
        self.body = b"\n".join(events)
        return (None,)


def shown_request(request: Request, to: Access) -> Shown:
    headers = {"Content-Type": "application/json"} if request.body else {}
    headers = merged(headers, {**to.headers, **({"Authorization": MASK} if to.authorization else {})})
    headers = merged(headers, request.headers or {})
    first = f"{request.method} {joined(http_of(to.url).rstrip('/'), request.path)}"
    return Shown(redact(first), _masked(headers), _pretty(request.body), len(request.body))


def shown_answer(response: Response, keeper: Keeper) -> Shown:
    kept = ("Content-Type", "Content-Length", "Content-Encoding", "Server-Timing", "Retry-After", "Location", "Allow")
    given = response.headers or {}
    headers = {name: given[name] for name in kept if name in given}
    body = keeper.body if keeper.events is None else b"\n".join(keeper.events)
    first = f"HTTP {response.status}"
    if keeper.events is not None:
        first += f", a stream of {len(keeper.events)} events, {len(response.chunks)} with a piece of the answer"
    return Shown(first, _masked(headers), _pretty(body), len(body))


def _masked(headers: dict[str, str]) -> dict[str, str]:
    return {name: MASK if SECRET_NAME.search(name) else redact(value) for name, value in headers.items()}


def _pretty(body: bytes) -> str:
    if not _is_text(body):
        body = _without_files(body) if body.startswith(b"--") else b"(%d bytes that are no text)" % len(body)
    try:
        text = msgspec.json.format(encode(folded(_decode(body))), indent=2) if body[:1] in (b"{", b"[") else body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body
    shown = excerpt(text, BODY_SHOWN)
    return shown if len(text) <= BODY_SHOWN else f"{shown} ... ({len(body)} bytes in all)"


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _without_files(body: bytes) -> bytes:
    """The parts of a form; of a file its size."""
    mark = b"\r\n" + body.partition(b"\r\n")[0]
    parts = [part.partition(b"\r\n\r\n") for part in body.split(mark)]
    return mark.join(
        head + blank + (data if _is_text(data) else b"(%d bytes that are no text)" % len(data))
        for head, blank, data in parts
    )


def folded(value: Any) -> Any:
    """The value with the beginning of each long list of numbers, such as a vector."""
    if isinstance(value, dict):
        return {key: folded(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > NUMBERS_SHOWN and all(type(each) in (int, float) for each in value):
        return [*value[:NUMBERS_SHOWN], f"... {len(value)} numbers in all"]
    return [folded(inner) for inner in value]


def decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def sample_of(keeper: Keeper, document: Any) -> Any:
    """The answer, or the first event of a stream that is an object."""
    if keeper.events is None:
        return document
    return next((read for read in map(decoded, keeper.events) if isinstance(read, dict)), None)


def places_of(keeper: Keeper, document: Any) -> list[tuple[str, str, str]]:
    """The form of the answer: its places with types; of a stream that of its first event."""
    sample = sample_of(keeper, document)
    if sample is None:
        return []
    found: list[tuple[str, str, str]] = []
    for at, value in places(sample):
        if len(found) == PLACES_SHOWN:
            found.append(("...", "", ""))
            break
        if isinstance(value, dict) and value:
            continue
        kind = f"a list of {len(value)}" if isinstance(value, list) else kind_of(value)
        example = "" if isinstance(value, list | dict) else excerpt(msgspec.json.encode(value).decode(), 60)
        found.append((redact(at) or '""', kind, example))
    return found
