"""An output in the form of OpenAI's batch files: each line holds the body of an answer as the server sent it.

A line of the output is `{"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error"}`. A line of the
dead-letter file has the same fields, as a line of OpenAI's error file, and beside them those of a dead letter, so that
it can be sent again.

Without a task the lines of the input are requests: `url` is the path, and `body` is sent as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from harness import plugins
from harness.bulk.row_items import Rows, Ticket
from harness.client.errors import BadResponse, ItemError, UsageError
from harness.client.protocols import FinishedAnswer, SampledTask, provides
from harness.client.tasks._choices import refuse_error
from harness.client.tasks._decode import decode, encode, no_stream, one
from harness.client.tasks.http import Http
from harness.client.types import Answers, Item, Outcome, Request, Response, Result, Task, oddities_of
from harness.load.lines import LongLine
from harness.load.rows import RowReader

FORMAT = "openai-batch"
IDS_MAX = 100_000
"""OpenAI takes 50,000 lines a file."""
_ID_MAX = 64
_URL = re.compile(r"/[!-~]{0,2000}")
_NOT_SENT = frozenset({"id", "url", "custom_id", "method"})
_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder(decimal_format="number").encode


class KeptAnswer(msgspec.Struct, frozen=True):
    """The body of an answer, as JSON on one line."""

    json: str
    finish_reason: str | None = None


class KeptBody:
    """A task whose answers are the bodies that the inner task has accepted; one item a request."""

    items_max = 1

    def __init__(self, inner: Task) -> None:
        self._inner = inner
        self.temperature = inner.temperature if provides(inner, SampledTask) else None

    @property
    def name(self) -> str:
        return self._inner.name

    def parse(self, row: Mapping[str, Any], /) -> Any:
        """As the inner task; an answer in pieces has no body."""
        if row.get("stream"):
            raise ItemError("stream: a batch file has whole answers")
        return self._inner.parse(row)

    def request(self, items: Sequence[Item], /) -> Request:
        request: Request = msgspec.structs.replace(self._inner.request((one(items),)), task=self)
        return request

    def answer(self, request: Request, body: bytes, /) -> tuple[KeptAnswer, ...]:
        """The body, if the inner task reads it."""
        answers = self._inner.answer(request, body)
        reason = answers[0].finish_reason if provides(answers[0], FinishedAnswer) else None
        try:
            text = msgspec.json.format(body.removeprefix(b"\xef\xbb\xbf"), indent=-1).decode()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadResponse(f"the body is not JSON: {error}") from error
        return Answers((KeptAnswer(text, reason),), oddities_of(answers))

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Any:
        return self._inner.synthetic(words, length)


class _Call(msgspec.Struct, frozen=True):
    """A line of the input: its path, and its body under the name that layers know."""

    url: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class BatchRequests:
    """The requests of a batch file, sent as they are; the answer is the body, a JSON object without `error`."""

    @property
    def name(self) -> str:
        return FORMAT

    def parse(self, row: Mapping[str, Any], /) -> _Call:
        """{"url"} and the fields of the body."""
        url = row.get("url")
        if not isinstance(url, str) or not _URL.fullmatch(url):
            found = "is missing" if url is None else f"{str(url)[:80]!r} is no path"
            raise ItemError(
                f"url: {found}; a line of a batch file has custom_id, method, url and body, other rows need --task"
            )
        return _Call(url, {name: value for name, value in row.items() if name not in _NOT_SENT})

    def request(self, items: Sequence[Item], /) -> Request:
        item = one(items)
        return Request((item,), self, item.data.url, encode(item.data.parameters))

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        answer = decode(_object, body)
        refuse_error(answer)
        return (answer,)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        no_stream(self.name)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Any:
        return _Call("/v1/completions", {"prompt": words(length)})


class Ids:
    """Ids that come twice among the first `IDS_MAX`; more would need too much memory."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}
        self.first: tuple[str, int, int] | None = None
        self.more = 0

    def add(self, name: str, line: int) -> None:
        """The id of a line."""
        # Long ids are distinguished by their hash.
        key = name if len(name) <= _ID_MAX else sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        before = self._lines.get(key)
        if before is None:
            if len(self._lines) < IDS_MAX:
                self._lines[key] = line
        elif before != line:
            self.more += self.first is not None
            self.first = self.first or (name, before, line)


class BatchRows(Rows):
    """Rows whose output and dead letters are lines of batch files."""

    def __init__(
        self,
        tasks: Sequence[str],
        id_field: str,
        with_input: bool,
        task_field: str,
        priority_field: str,
        priorities: bool,
        http: Sequence[str],
        reader: RowReader,
    ) -> None:
        super().__init__(tasks, id_field, with_input, task_field, priority_field, priorities, http, reader)
        if with_input:
            raise UsageError(f"--with-input: a line of --output-format {FORMAT} has no place for the row")
        if not self._closed:
            self._only = BatchRequests()
        for task in self._tasks.values():
            if _streams(task):
                raise UsageError(f"--output-format {FORMAT}: has whole answers, and the task {task.name} streams them")
        self._kept: dict[int, KeptBody] = {}
        self._ids = Ids()

    def item(self, line: int, raw: bytes | LongLine) -> tuple[Item | None, Ticket, str | None]:
        """As for other outputs; ids are looked at, too."""
        found = super().item(line, raw)
        if isinstance(found[1].id, str):
            self._ids.add(found[1].id, line)
        return found

    @property
    def notes(self) -> list[str]:
        """Ids that are there twice: the lines of the output have the same `custom_id`."""
        if self._ids.first is None:
            return []
        name, one, other = self._ids.first
        again = f", and {self._ids.more:,} more are there twice" if self._ids.more else ""
        return [
            f"custom_id {name[:80]!r} is on line {one} and on line {other}{again}; `id` distinguishes their answers"
        ]

    def _check_options(self, built: Sequence[Task]) -> None:
        """Requests that are sent as they are take any parameter."""
        self._reader.settings.check_tasks(built)

    def fingerprint(self) -> dict[str, Any]:
        """With the form of the output."""
        return {**super().fingerprint(), "output_format": FORMAT}

    def _task_of(self, row: Mapping[str, Any]) -> Task:
        task = super()._task_of(row)
        return self._kept.setdefault(id(task), KeptBody(task))

    def output_line(self, ticket: Ticket, result: Result) -> bytes:
        """The line of an answer."""
        answer, response = result.answer, result.response
        body = msgspec.Raw(answer.json.encode()) if isinstance(answer, KeptAnswer) else answer
        head = _head(ticket)
        return _encode({**head, "response": _response(head, response, body), "error": None}) + b"\n"

    def dead_line(self, ticket: Ticket, result: Result) -> bytes:
        """The line of a failure, and the fields of a dead letter."""
        response = result.response
        letter = msgspec.json.decode(super().dead_line(ticket, result), type=dict[str, msgspec.Raw])
        return _dead(ticket, letter, response.outcome.name, response.error or response.outcome.name, response)

    def bad_line(self, ticket: Ticket, why: str) -> bytes:
        """The line of a malformed row, and the fields of a dead letter."""
        letter = msgspec.json.decode(super().bad_line(ticket, why), type=dict[str, msgspec.Raw])
        return _dead(ticket, letter, ticket.bad, why)


def _head(ticket: Ticket) -> dict[str, Any]:
    given = ticket.id
    custom_id = f"line-{ticket.origin}" if given is msgspec.UNSET or given is None else str(given)
    return {
        "id": f"batch_req_{ticket.origin}",
        "custom_id": custom_id,
    }


def _streams(task: Task) -> bool:
    if isinstance(task, Http):
        return task.made.stream is not None
    return bool(plugins.settings_of(task).get("stream"))


def _response(head: Mapping[str, Any], response: Response, body: Any) -> dict[str, Any]:
    """The answer; without a header `X-Request-Id` its request_id is that of the line, since readers expect a text."""
    request_id = (response.headers or {}).get("X-Request-Id") or head["id"]
    return {"status_code": response.status or 200, "request_id": request_id, "body": body}


def _dead(ticket: Ticket, letter: dict[str, Any], kind: str, why: str, response: Response | None = None) -> bytes:
    """A refusal of the server is an answer with its status; everything else is an error without an answer."""
    line: dict[str, Any] = _head(ticket)
    if response is not None and response.status >= 400 and response.outcome is not Outcome.bad_response:
        body = {"error": {"message": why, "type": kind, "param": None, "code": None}}
        line |= {"response": _response(line, response, body), "error": None}
    else:
        line |= {"response": None, "error": {"code": kind, "message": why}}
    return _encode(line | {name: value for name, value in letter.items() if name not in line}) + b"\n"
