"""From a line of the input to an item, and from a result to a line of a file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from harness import plugins
from harness.client.errors import ItemError, UsageError
from harness.client.items import PRIORITY_FIELD, data_of, priority_of
from harness.client.types import Item, Outcome, Result, Task
from harness.load.lines import BOM, LINE_MAX

BAD_LINE = "bad_line"

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Ticket(msgspec.Struct):
    """An input line while it is out: what its output or dead-letter line will need."""

    line: int  # in this run's input
    raw: bytes | None  # the row as it came, taken out of its dead letter; None: too long to keep
    id: Any = msgspec.UNSET
    origin: int = 0  # its line in the input it first came from
    drives: int = 0  # how often it has ended in a dead-letter file before
    refused: int = -1  # answers the server had given when this item last found no connection; -1: it never was so
    not_before: float = 0.0  # when it may be sent again
    tries: int = 0  # times it was sent again because the server was there


class Reason(msgspec.Struct):
    """Why a line was set aside: what a dead letter says of it."""

    kind: str = msgspec.field(name="class")
    line: int
    status: int = 0
    error: str | None = None


class Rows:
    """Rows of one task, or of several by the row's own `task`."""

    def __init__(
        self,
        tasks: Sequence[str],
        id_field: str = "id",
        with_input: bool = False,
        task_field: str = "task",
        priority_field: str = PRIORITY_FIELD,
        priorities: bool = False,  # somebody looks at them
    ) -> None:
        built = [plugins.make("task", text) for text in tasks]
        self._tasks: dict[str, Task] = {task.name: task for task in built}
        if len(self._tasks) < len(built):
            raise UsageError("--task: each task once; a row tells tasks apart by their names")
        self._only: Task | None = built[0] if len(built) == 1 else None
        self._closed = bool(built)  # only the tasks that were named
        self._id_field = id_field
        self._with_input = with_input
        self._task_field = task_field
        self._priority_field = priority_field
        self._priorities = priorities

    def fingerprint(self) -> dict[str, Any]:
        """What decides the answers and the form of the output."""
        return {
            "tasks": {name: plugins.settings_of(task) for name, task in self._tasks.items()} if self._closed else None,
            "id_field": self._id_field,
            "with_input": self._with_input,
            "task_field": self._task_field,
        }

    def item(self, line: int, raw: bytes | None) -> tuple[Item | None, Ticket, str]:
        """The item of a line and what is to be remembered of it; without an item, why it is none."""
        ticket = Ticket(line, raw, origin=line)
        try:
            if raw is None:
                raise ItemError(f"longer than {LINE_MAX} bytes")  # noqa: TRY301 - a line's faults end in one place
            if line == 1:
                raw = ticket.raw = raw.removeprefix(BOM)
            row = msgspec.json.decode(raw, type=dict[str, Any])
            if _is_letter(row):
                row = _unwrap(row, ticket)
            ticket.id = row.get(self._id_field, msgspec.UNSET)
            task = self._only or self._named(row)
            priority = priority_of(row, self._priority_field, self._priorities)
            return Item(line, data_of(task, row), task, priority), ticket, ""
        except (ItemError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return None, ticket, str(error)

    def _named(self, row: Mapping[str, Any]) -> Task:
        name, field = row.get(self._task_field), self._task_field
        if not isinstance(name, str):
            raise ItemError(f"{field}: is missing; with several tasks each row names its own")
        if name not in self._tasks:
            if self._closed or name not in plugins.names("task"):
                known = sorted(self._tasks) if self._closed else plugins.names("task")
                raise ItemError(f"{field}: {plugins.unknown('task', name, known)}")
            self._tasks[name] = plugins.make("task", name)
        return self._tasks[name]

    def written(self, ticket: Ticket, result: Result) -> tuple[bytes, Result]:
        """The line for the output or dead-letter file; an answer that cannot be written as JSON is a bad response."""
        if result.ok:
            try:
                return self.output_line(ticket, result), result
            except Exception as error:  # whatever an answer of a task of the user's own does
                why = f"the answer cannot be written as JSON: {type(error).__name__}: {error}"
                response = msgspec.structs.replace(result.response, outcome=Outcome.bad_response, answers=(), error=why)
                result = Result(result.item, response)
        return self.dead_line(ticket, result), result

    def output_line(self, ticket: Ticket, result: Result) -> bytes:
        """{"line", "id" if it has one, "answer"}, and the row itself if that was asked for."""
        answer: dict[str, Any] = {"line": ticket.origin}
        if ticket.id is not msgspec.UNSET:
            answer["id"] = ticket.id
        if self._only is None:
            answer["task"] = result.item.task.name
        if self._with_input:
            answer["input"] = msgspec.Raw(_trimmed(ticket.raw))
        answer["answer"] = result.answer
        return _encode(answer) + b"\n"

    def dead_line(self, ticket: Ticket, result: Result) -> bytes:
        """Class, attempts, last answer and the row, so that it can be driven again."""
        response = result.response
        letter = {**_letter(ticket, response.outcome.name), "attempts": response.attempts}
        letter |= {"status": response.status, "error": response.error, "row": msgspec.Raw(_trimmed(ticket.raw))}
        return _encode(letter) + b"\n"

    def bad_line(self, ticket: Ticket, why: str) -> bytes:
        """The same for a line that is not an item."""
        letter = {**_letter(ticket, BAD_LINE), "attempts": 0, "error": why}
        raw = ticket.raw
        try:
            letter["raw"] = None if raw is None else raw.decode()
        except UnicodeDecodeError:
            letter["raw_base64"] = base64.b64encode(raw or b"").decode()
        return _encode(letter) + b"\n"


def reason_of(dead_line: bytes) -> Reason:
    """Why a line was set aside, by its dead letter."""
    return msgspec.json.decode(dead_line, type=Reason)


def _letter(ticket: Ticket, kind: str) -> dict[str, Any]:
    letter: dict[str, Any] = {"dead_letter": ticket.drives + 1, "line": ticket.origin}
    if ticket.id is not msgspec.UNSET:
        letter["id"] = ticket.id
    letter["class"] = kind
    return letter


def _is_letter(row: Mapping[str, Any]) -> bool:
    """A dead letter of ours; a row of the user's may have a column of that name."""
    drives = row.get("dead_letter")
    return (
        type(drives) is int
        and drives >= 1
        and type(row.get("line")) is int
        and type(row.get("attempts")) is int
        and isinstance(row.get("class"), str)
        and ("row" in row or "raw" in row or "raw_base64" in row)
    )


def _unwrap(letter: Mapping[str, Any], ticket: Ticket) -> dict[str, Any]:
    """The row inside a dead letter; the ticket gets the row's own line and bytes."""
    ticket.drives, ticket.origin = letter["dead_letter"], letter["line"]
    row = letter.get("row")
    if isinstance(row, dict):
        ticket.raw = _encode(row)
        return row
    raw = letter.get("raw")
    if not isinstance(raw, str):
        raise ItemError("a dead letter whose line cannot be read")
    ticket.raw = raw.encode()
    return msgspec.json.decode(raw, type=dict[str, Any])


def _trimmed(raw: bytes | None) -> bytes:
    return (raw or b"null").strip()
