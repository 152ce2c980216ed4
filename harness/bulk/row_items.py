"""From a line of the input to an item, and from a result to a line of a file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from harness import plugins
from harness.client.errors import ItemError, UsageError
from harness.client.task_calls import PRIORITY_FIELD, data_of, priority_of
from harness.client.tasks.http import Http
from harness.client.types import Item, Outcome, Result, Task
from harness.load.folder import BadRowError, Place
from harness.load.lines import BOM, LINE_MAX, LongLine
from harness.load.mapped_fields import check_fields
from harness.load.rows import RowReader, few

BAD_LINE, LONG_LINE, BROKEN_FILE = "bad_line", "long_line", "broken_file"
"""Classes of dead letters that were not sent: malformed, too long to be held, the place where a file breaks off."""

_encode = msgspec.json.Encoder(decimal_format="number").encode


class Ticket(msgspec.Struct):
    """State of an input line while it is being processed, for its output or dead-letter line."""

    # Line number in this run's input.
    line: int
    # The original row, without its dead letter.
    raw: bytes | LongLine
    id: Any = msgspec.UNSET
    # Line number in the input it first came from.
    origin: int = 0
    # Its file and the line there, of one of several.
    place: Place | None = None
    # Number of earlier dead letters of this row.
    redrive_count: int = 0
    # Answers of the server when this item's connection last failed; -1: it never failed.
    refused: int = -1
    # Earliest time to send it again.
    not_before: float = 0.0
    # Number of times it was sent again after a successful probe.
    tries: int = 0
    # Class of a line that cannot be sent.
    bad: str = BAD_LINE


class DeadLetterReason(msgspec.Struct):
    """Reason for a dead letter."""

    kind: str = msgspec.field(name="class")
    line: int
    status: int = 0
    error: str | None = None
    place: Place | None = None

    @property
    def where(self) -> str:
        """The place of the line in a message."""
        return f"line {self.line}" if self.place is None else f"{self.place.file}, line {self.place.line}"


class Rows:
    """Rows of one task, or of several by the row's own `task`."""

    def __init__(
        self,
        tasks: Sequence[str],
        id_field: str = "id",
        with_input: bool = False,
        task_field: str = "task",
        priority_field: str = PRIORITY_FIELD,
        # Whether the strategy uses priorities.
        priorities: bool = False,
        # Files that describe tasks.
        http: Sequence[str] = (),
        reader: RowReader | None = None,
    ) -> None:
        self._reader = reader or RowReader("-", once=True)
        built = [*(plugins.make("task", text) for text in tasks), *map(Http, http)]
        self._tasks: dict[str, Task] = {task.name: task for task in built}
        if len(self._tasks) < len(built):
            raise UsageError("--task: each task once; rows choose their task by its name")
        self._only: Task | None = built[0] if len(built) == 1 else None
        # Only the named tasks are allowed.
        self._closed = bool(built)
        self._id_field = id_field
        self._with_input = with_input
        self._task_field = task_field
        self._priority_field = priority_field
        self._check_options(built)
        self.priorities = priorities
        # Lines of the input before the first one that this run reads.
        self.lines_before = 0

    def _check_options(self, built: Sequence[Task]) -> None:
        """Raise UsageError for an option that belongs to a task, without such a task."""
        others = {self._id_field, self._task_field, self._priority_field}
        names = self._reader.column_names
        if names and self._id_field not in {"id", *names, *self._reader.columns}:
            raise UsageError(
                f"--id-field {self._id_field}: {self._reader.path} has no such column; it has {few(names)}"
            )
        self._reader.settings.check_tasks(built)
        check_fields(self._reader.columns, built, {*others, *self._reader.fields_read})
        if not built and (flag := self._reader.settings.task_flag):
            raise UsageError(f"{flag}: belongs to a task; name it with --task or --http")

    def fingerprint(self) -> dict[str, Any]:
        """Settings that affect the answers and the form of the output."""
        return {
            "tasks": {name: plugins.settings_of(task) for name, task in self._tasks.items()} if self._closed else None,
            "id_field": self._id_field,
            "with_input": self._with_input,
            "task_field": self._task_field,
            "output_format": None,
            **self._reader.fingerprint(),
        }

    def item(self, line: int, raw: bytes | LongLine) -> tuple[Item | None, Ticket, str | None]:
        """The item of a line and its ticket; for a malformed line the reason instead, and None for an unwanted one."""
        ticket = Ticket(line, raw, origin=line + self.lines_before)
        row: dict[str, Any] = {}
        try:
            if isinstance(raw, LongLine):
                ticket.bad = LONG_LINE
                raise ItemError(f"longer than {LINE_MAX} bytes")  # noqa: TRY301 - a line's faults end in one place
            if ticket.origin == 1:
                raw = ticket.raw = raw.removeprefix(BOM)
            row, ticket.place, ticket.raw = self._reader.placed(raw)
            if self._reader.has_header:
                ticket.raw = _encode(row)
            elif _is_letter(row):
                row = _unwrap(row, ticket)
            if not self._reader.wanted(row):
                return None, ticket, None
            made = self._reader.mapped(row)
            ticket.id = made.get(self._id_field, msgspec.UNSET)
            task = self._task_of(made)
            priority = priority_of(made, self._priority_field, self.priorities)
            return Item(line, data_of(task, made), task, priority), ticket, ""
        except BadRowError as error:
            ticket.place, ticket.raw = error.place, error.raw
            ticket.bad = BROKEN_FILE if error.ends_file else LONG_LINE if isinstance(error.raw, LongLine) else BAD_LINE
            return None, ticket, str(error)
        except ItemError as error:
            return None, ticket, str(self._reader.explained(error, row))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return None, ticket, str(error)

    @property
    def notes(self) -> list[str]:
        """Oddities of the rows so far, in words."""
        return []

    def is_header(self, line: int) -> bool:
        """Whether this line holds the names of columns."""
        return line + self.lines_before == 1 and self._reader.has_header

    def _task_of(self, row: Mapping[str, Any]) -> Task:
        return self._only or self._named(row)

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
            # An answer of a user's task may raise anything.
            except Exception as error:
                why = f"the answer cannot be written as JSON: {type(error).__name__}: {error}"
                response = msgspec.structs.replace(result.response, outcome=Outcome.bad_response, answers=(), error=why)
                result = Result(result.item, response)
        return self.dead_line(ticket, result), result

    def output_line(self, ticket: Ticket, result: Result) -> bytes:
        """{"line", "id" if it has one, "answer"}, and the row itself if requested."""
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
        """Class, attempts, last answer and the row, so that it can be sent again."""
        response = result.response
        letter = {**_letter(ticket, response.outcome.name), "attempts": response.attempts}
        letter |= {"status": response.status, "error": response.error, "row": msgspec.Raw(_trimmed(ticket.raw))}
        return _encode(letter) + b"\n"

    def bad_line(self, ticket: Ticket, why: str) -> bytes:
        """The dead letter of a malformed line."""
        letter = {**_letter(ticket, ticket.bad), "attempts": 0, "error": why}
        raw = ticket.raw
        if isinstance(raw, LongLine):
            letter |= {"raw": None, "raw_start": raw.head.decode(errors="replace"), "bytes": [raw.begin, raw.end]}
            return _encode(letter) + b"\n"
        try:
            letter["raw"] = raw.decode()
        except UnicodeDecodeError:
            letter["raw_base64"] = base64.b64encode(raw).decode()
        return _encode(letter) + b"\n"


def reason_of(dead_line: bytes) -> DeadLetterReason:
    """The reason in a dead letter, also in one with the fields of a batch file."""
    letter = msgspec.json.decode(dead_line)
    error, response = letter["error"], letter.get("response")
    if isinstance(response, dict):
        error = response["body"]["error"]["message"]
    elif isinstance(error, dict):
        error = error["message"]
    return DeadLetterReason(letter["class"], letter["line"], letter.get("status", 0), error, _place(letter))


def _place(letter: Mapping[str, Any]) -> Place | None:
    file, line = letter.get("file"), letter.get("file_line")
    return Place(file, line) if isinstance(file, str) and isinstance(line, int) else None


def _letter(ticket: Ticket, kind: str) -> dict[str, Any]:
    letter: dict[str, Any] = {"dead_letter": ticket.redrive_count + 1, "line": ticket.origin}
    if ticket.id is not msgspec.UNSET:
        letter["id"] = ticket.id
    if ticket.place is not None:
        letter |= {"file": ticket.place.file, "file_line": ticket.place.line}
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
    ticket.redrive_count, ticket.origin, ticket.place = letter["dead_letter"], letter["line"], _place(letter)
    row = letter.get("row")
    if isinstance(row, dict):
        ticket.raw = _encode(row)
        return row
    raw = letter.get("raw")
    if letter["class"] in _NOT_INSIDE:
        ticket.bad = letter["class"]
        raise ItemError(_NOT_INSIDE[letter["class"]])
    if not isinstance(raw, str):
        raise ItemError("a dead letter whose line cannot be read")
    ticket.raw = raw.encode()
    return msgspec.json.decode(raw, type=dict[str, Any])


_NOT_INSIDE = {
    LONG_LINE: "the line is too long for a dead letter, so it cannot be sent from there",
    BROKEN_FILE: "the rows of a file that breaks off are not in a dead letter; give the repaired file as INPUT",
}


def _trimmed(raw: bytes | LongLine) -> bytes:
    return raw.strip() if isinstance(raw, bytes) else b"null"
