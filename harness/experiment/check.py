"""`paceline check`: one item through the whole way to a server, and what is wrong with it.

Rules of this file
  1. One request is sent, once: no retry, no load, no file.
  2. What is shown has no secret: values of headers with a secret's name, and all that redaction knows, are replaced.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness import plugins
from harness.base.options import REQUIRED, option
from harness.base.quantity import duration_s
from harness.client.errors import BadResponse, UsageError
from harness.client.input_settings import InputSettings
from harness.client.redaction import MASK, excerpt, redact
from harness.client.tasks.http import Http
from harness.client.tasks.http.pointer import kind_of, places
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.connection_settings import SECRET_NAME, ConnectionSettings
from harness.client.transport.endpoint import Access, merged
from harness.client.transport.outcomes import joined, outcome_of_status
from harness.client.transport.server import check_url
from harness.client.transport.unix_socket import http_of
from harness.client.types import Item, Outcome, Request, Response, Task
from harness.experiment.check_hints import hints
from harness.load.rows import columns_of
from harness.load.workloads.jsonl import Jsonl
from harness.load.workloads.synthetic import Synthetic

BODY_SHOWN = 2_000
PLACES_SHOWN = 24
NUMBERS_SHOWN = 4  # of a list of numbers
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder().decode
_EVERY_STATUS = frozenset(range(200, 600))


@dataclass(frozen=True)
class CheckSettings:
    """What is sent, and where."""

    target: str = option(REQUIRED, "Server to ask.", metavar="URL")
    task: str | None = option(None, "Task of the item [default: similarity].", metavar="NAME[:...]", names="task")
    http: str | None = option(
        None,
        "TOML file that describes the requests and answers of your API, in place of --task, or the name of one of "
        "`paceline list http`; FIELD=VALUE sets a field.",
        metavar="FILE.toml[:FIELD=VALUE,...]",
        names="http",
    )
    input: str | None = option(
        None, "File with items (docs/data.md); the first one is sent [default: a made-up one].", metavar="FILE"
    )
    columns: tuple[str, ...] = option(
        (),
        "Fields of the task, and the columns of --input that they are taken from. Repeatable.",
        flag="--map",
        metavar="FIELD=COLUMN[,...]",
    )
    row: int = option(1, "Which good row of --input is sent, from 1.", least=1, most=10**9)
    timeout_s: float = option(60.0, "Seconds that the exchange may take.", kind=duration_s, least=0.001)
    reading: InputSettings = field(default_factory=InputSettings)
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)


class Shown(msgspec.Struct, frozen=True):
    """A request or an answer, for people: no secret, bounded."""

    first: str
    headers: dict[str, str]
    body: str
    size: int


class Checked(msgspec.Struct, frozen=True):
    """What came of it."""

    ok: bool
    request: Shown
    answer: Shown | None
    outcome: str
    error: str | None
    times_s: dict[str, float]
    places: list[tuple[str, str, str]]
    """Places of the answer's body: JSON Pointer, type, example."""
    value: str | None
    """The answer as the task reads it, as JSON."""
    hints: list[str]


def check(settings: CheckSettings) -> Checked:
    """Send one item and judge the answer. Raises UsageError for a mistake in the settings, the task or the input."""
    to = settings.connection.access(settings.target)
    url = check_url(to.url)
    task = _task(settings)
    item = _item(settings, task)
    request = task.request((item,))
    transport = BlockingTransport(
        url,
        timeout_s=settings.timeout_s,
        authorization=to.authorization,
        headers=to.headers,
        tls=to.tls,
        proxy=to.proxy,
    )
    keeper = _Keeper()
    # A refusal of a stream is no stream: the transport keeps its beginning.
    answered = request.answered if request.stream else _EVERY_STATUS
    asked: Any = msgspec.structs.replace(request, task=keeper, answered=answered)
    with closing(transport):
        response = transport.exchange(asked)
    return _checked(task, request, to, keeper, response)


def _task(settings: CheckSettings) -> Task:
    if settings.http is not None and settings.task is not None:
        raise UsageError("--http and --task exclude each other: the file describes the task")
    if settings.http is not None:
        return Http(settings.http)
    made: Task = plugins.make("task", settings.task or "similarity")
    return made


def _item(settings: CheckSettings, task: Task) -> Item:
    if settings.input is None:
        if settings.columns:
            raise UsageError("--map needs --input: it names columns of that file")
        settings.reading.check_unused()
        return Item(0, Synthetic().data(task, 0, 1), task)
    settings.reading.check_tasks([task])
    rows = Jsonl(settings.input, columns=columns_of(settings.columns), reading=settings.reading)
    for number, (_, data, _) in enumerate(rows.rows(task), 1):
        if number == settings.row:
            return Item(0, data, task)
    raise UsageError(f"--row {settings.row}: {settings.input} has fewer good rows")


class _Keeper:
    """Takes any body in the place of the task, so that it can be shown."""

    name = "check"

    def __init__(self) -> None:
        self.body = b""
        self.events: list[bytes] | None = None

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        """Keep a whole body."""
        self.body = body
        return (None,)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        """Keep the events."""
        self.events = list(events)
        self.body = b"\n".join(events)
        return (None,)


def _checked(task: Task, request: Request, to: Access, keeper: _Keeper, response: Response) -> Checked:
    outcome, error, value = _judged(task, request, keeper, response)
    document = None if keeper.events is not None else _json(keeper.body)
    answered = response.status > 0
    return Checked(
        ok=outcome is Outcome.ok,
        request=_shown_request(request, to),
        answer=_shown_answer(response, keeper) if answered else None,
        outcome=outcome.name,
        error=None if error is None else redact(error),
        times_s=_times(response),
        places=_places(keeper, document),
        value=value,
        hints=[]
        if outcome is Outcome.ok
        else hints(task, request, to, response, outcome, error or "", _sample(keeper, document)),
    )


def _judged(
    task: Task, request: Request, keeper: _Keeper, response: Response
) -> tuple[Outcome, str | None, str | None]:
    """Outcome, reason and answer, as in a run."""
    if response.outcome is not Outcome.ok:
        return response.outcome, response.error, None
    if response.status not in request.answered:
        outcome = outcome_of_status(response.status)
        text = f"HTTP {response.status}: {excerpt(keeper.body, 200)}"
        return (Outcome.client_error if outcome is Outcome.ok else outcome), text, None
    try:
        if keeper.events is not None:
            answers = task.answer_stream(request, keeper.events)
        else:
            answers = task.answer(request, keeper.body)
        return Outcome.ok, None, excerpt(_encode(_folded(msgspec.to_builtins(answers[0]))).decode(), BODY_SHOWN)
    except BadResponse as error:
        return error.outcome, str(error), None
    # A task of the user's own may raise anything.
    except Exception as error:
        return Outcome.bad_response, f"task {task.name} cannot read the answer: {type(error).__name__}: {error}", None


def _times(response: Response) -> dict[str, float]:
    times = {"first byte": response.first_byte - response.sent, "whole answer": response.done - response.sent}
    return {name: seconds for name, seconds in times.items() if not math.isnan(seconds)}


# What is shown.


def _shown_request(request: Request, to: Access) -> Shown:
    headers = {"Content-Type": "application/json"} if request.body else {}
    headers = merged(headers, {**to.headers, **({"Authorization": MASK} if to.authorization else {})})
    headers = merged(headers, request.headers or {})
    first = f"{request.method} {joined(http_of(to.url).rstrip('/'), request.path)}"
    return Shown(redact(first), _masked(headers), _pretty(request.body), len(request.body))


def _shown_answer(response: Response, keeper: _Keeper) -> Shown:
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
    try:
        text = msgspec.json.format(_encode(_folded(_decode(body))), indent=2) if body[:1] in (b"{", b"[") else body
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body
    shown = excerpt(text, BODY_SHOWN)
    return shown if len(text) <= BODY_SHOWN else f"{shown} ... ({len(body)} bytes in all)"


def _folded(value: Any) -> Any:
    """The value with the beginning of each long list of numbers, such as a vector."""
    if isinstance(value, dict):
        return {key: _folded(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) > NUMBERS_SHOWN and all(type(each) in (int, float) for each in value):
        return [*value[:NUMBERS_SHOWN], f"... {len(value)} numbers in all"]
    return [_folded(inner) for inner in value]


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _sample(keeper: _Keeper, document: Any) -> Any:
    """The answer, or the first event of a stream that is an object."""
    if keeper.events is None:
        return document
    return next((read for read in map(_json, keeper.events) if isinstance(read, dict)), None)


def _places(keeper: _Keeper, document: Any) -> list[tuple[str, str, str]]:
    """The form of the answer: its places with types; of a stream that of its first event."""
    sample = _sample(keeper, document)
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
