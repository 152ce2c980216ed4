"""Code and data of the user's own: whatever a task, a layer or a send raises, and whatever columns rows have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.bulk import Process, ending
from harness.client.errors import BadResponse, ItemError
from harness.client.task_calls import answers_of, data_of, item_of, plain_answers_of, priority_of
from harness.client.transport.event_stream import SseSplitter
from harness.client.types import Item, Outcome, Request, Response
from tests.bulk.helpers import Server, go, rows, settings


@dataclass(frozen=True)
class Own:
    """A task that is right for most rows."""

    name: str = "own"

    def parse(self, row: Mapping[str, Any], /) -> Any:
        return row["deep"]["text"]

    def request(self, items: Sequence[Item], /) -> Request:
        (item,) = items
        return Request((item,), self, "/own", str(100 // len(item.data)).encode())

    def answer(self, request: Request, body: bytes, /) -> tuple[Any, ...]:
        return (json.loads(body)["answer"],)

    def answer_stream(self, request: Request, events: Sequence[bytes], /) -> tuple[Any, ...]:
        return tuple(json.loads(event)["answer"] for event in events)

    def synthetic(self, words: Callable[[int], str], length: int, /) -> Any:
        return words(length)


def own_rows(folder: Path, odd: dict[int, Any]) -> None:
    """A hundred rows, some of them odd."""
    lines = [odd.get(n, {"deep": {"text": f"t{n}"}}) for n in range(1, 101)]
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def wanted(folder: Path, **more: Any) -> Any:
    return settings(folder, tasks=("tests.bulk.test_own_code:Own",), **more)


class Strange:
    """No JSON can be made of it."""


async def answering(request: Request, /) -> Response:
    """As the transports do: the task reads the body; every answer to an odd item is odd in its own way."""
    index = request.items[0].index
    body = {7: b"{}", 8: b"[]", 9: b"<html>"}.get(index, b'{"answer": "yes"}')
    response = Response(Outcome.ok, 200, sent=0.0, done=0.0)
    try:
        response.answers = (Strange(),) if index == 10 else plain_answers_of(request, body)
    except BadResponse as error:
        response.outcome, response.error = Outcome.bad_response, str(error)
    if index == 11:
        raise LookupError("of a send of the user's own")
    return response


@pytest.mark.parametrize("strategy", ["sync", "queue-stream:concurrency=8", "adaptive", "unbounded", "adaptive-batch"])
def test_whatever_a_task_of_ones_own_raises_is_one_dead_letter(tmp_path: Path, strategy: str) -> None:
    """In parse, request and answer, in what JSON makes of the answer, and in a send; all other lines are answered."""
    own_rows(tmp_path, {3: {"deep": {}}, 4: {"deep": 5}, 5: {"deep": {"text": ""}}})
    result = asyncio.run(Process(wanted(tmp_path, strategy=strategy, errors_max=0.2), answering).run())
    letters = {letter["line"]: letter for letter in rows(tmp_path / "bad.jsonl")}
    assert result.complete
    assert {line: letter["class"] for line, letter in letters.items()} == {
        **dict.fromkeys([3, 4, 5], "bad_line"),
        **dict.fromkeys([7, 8, 9, 10, 11], "bad_response"),
    }
    assert letters[3]["error"] == "task own: KeyError: 'text'"
    assert letters[5]["error"] == "task own: ZeroDivisionError: integer division or modulo by zero"
    assert letters[7]["error"] == "task own cannot read the answer: KeyError: 'answer'"
    assert letters[10]["error"].startswith("the answer cannot be written as JSON: TypeError")
    assert letters[11]["error"] == "LookupError: of a send of the user's own"
    assert len(rows(tmp_path / "out.jsonl")) == 92


class Failing:
    """A layer of the user's own that fails for one item."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, request: Request, /) -> Response:
        if request.items[0].index == 20:
            raise KeyError("x")
        return await self._inner(request)  # type: ignore[no-any-return] # whatever is inside


def test_a_layer_of_ones_own_that_raises_costs_its_line_only(tmp_path: Path) -> None:
    """Not the job."""
    own_rows(tmp_path, {})
    strategy = "queue-stream:concurrency=4+tests.bulk.test_own_code:Failing"
    assert go(wanted(tmp_path, strategy=strategy)).counts["dead"] == {"bad_response": 1}


def test_every_transport_reads_answers_by_one_rule() -> None:
    """Plain and streamed: too few answers and exceptions alike are a bad response."""
    task = Own()
    request = task.request((Item(0, "x", task),))
    assert plain_answers_of(request, b'{"answer": 1}') == (1,)
    assert answers_of(request, SseSplitter(), [b'{"answer": 2}']) == (2,)
    with pytest.raises(BadResponse, match="task own read 2 answers for 1 items"):
        answers_of(request, SseSplitter(), [b'{"answer": 2}'] * 2)
    with pytest.raises(BadResponse, match="task own cannot read the answer: TypeError"):
        answers_of(request, SseSplitter(), [b"5"])


def test_rows_of_a_library_user_are_checked_alike() -> None:
    """Any exception names the row; null is no priority, and another field may hold it."""
    with pytest.raises(ItemError, match="row 4: task own: KeyError: 'deep'"):
        item_of(Own(), {}, 4)
    row = {"deep": {"text": "a"}, "priority": "high", "urgency": 3}
    assert item_of(Own(), row, priority_field="urgency").priority == 3
    assert item_of(Own(), row, priority_field=None).priority == 0
    assert item_of(Own(), {**row, "priority": None}).priority == 0
    with pytest.raises(ItemError, match="row 0: priority='high' is not a whole number within a million"):
        item_of(Own(), row)
    assert priority_of(row, checked=False) == 0
    assert data_of(Own(), row) == "a"


COLUMNS = {"priority": "high", "dead_letter": True, "task": "chores", "line": 3, "class": "B"}


@pytest.mark.parametrize("column", [*COLUMNS.items(), ("priority", None), ("priority", 1.5), ("dead_letter", 2)])
def test_columns_of_the_users_own_are_data(tmp_path: Path, column: tuple[str, Any]) -> None:
    """Whatever their names mean elsewhere, with a strategy that does not look at priorities."""
    lines = [{"text": "x", column[0]: column[1]} for _ in range(20)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert go(settings(tmp_path)).counts["ok"] == 20


def test_reserved_names_can_be_given_to_other_fields(tmp_path: Path) -> None:
    """Priority and task; with a strategy that looks at priorities, what is none is a bad line."""
    lines: list[dict[str, Any]] = [
        {"text": "x", "priority": "high", "urgency": 90 - n, "kind": "annotate"} for n in range(90)
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)  # each with its end: so all are read at once
    (tmp_path / "in.jsonl").write_text(text)
    urgent = {"strategy": "priority:concurrency=1", "order": "completion", "overwrite": True, "errors_max": 1.0}
    go(settings(tmp_path, **urgent, priority_field="urgency", tasks=(), task_field="kind"), Server(turns=lambda n: 1))
    found = [row["line"] for row in rows(tmp_path / "out.jsonl")]
    assert sorted(found) == list(range(1, 91))
    assert found[10:] == sorted(found[10:], reverse=True)
    assert go(settings(tmp_path, **urgent)).counts["dead"] == {"bad_line": 90}
    assert "priority='high' is not a whole number" in rows(tmp_path / "bad.jsonl")[0]["error"]


def refusing(index: int, call: int) -> Outcome:
    return Outcome.client_error if index > 40 else Outcome.ok


def test_a_summary_says_why_lines_were_set_aside(tmp_path: Path) -> None:
    """Statuses with counts, one answer of each class, bounded and without control characters; also after a resume."""
    own_rows(tmp_path, {})
    text = "HTTP 400: \x1b[31m" + "long " * 100

    async def send(request: Request, /) -> Response:
        if request.items[0].index > 95:
            return Response(Outcome.client_error, 404 if request.items[0].index == 97 else 400, sent=0.0, error=text)
        return Response(Outcome.ok, 200, ("y",), sent=0.0)

    strategy = {"strategy": "sync", "order": "completion"}
    counts = asyncio.run(Process(wanted(tmp_path, **strategy), send).run()).counts
    assert counts["statuses"] == {"client_error": {"400": 4, "404": 1}}
    sample = counts["samples"]["client_error"]
    assert sample.startswith("line 96: HTTP 400: \\x1b[31mlong long")
    assert len(sample) < 330
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write("\n")
    assert go(wanted(tmp_path, resume=True, **strategy)).counts["statuses"] == counts["statuses"]


def test_resume_is_advised_only_where_it_helps(tmp_path: Path) -> None:
    """Not where nothing was answered and the cause is still there; after some answers only once it is mended."""
    own_rows(tmp_path, {})
    nothing = go(wanted(tmp_path, errors_least=10), Server(lambda index, call: Outcome.client_error))
    assert (nothing.stopped, nothing.advice) == (
        "errors",
        (ending.START_AGAIN, "no line got an answer, so there is nothing to resume; fix the cause first"),
    )
    some = go(wanted(tmp_path, overwrite=True, errors_least=10, errors_max=0.5), Server(refusing))
    assert some.advice is not None
    assert some.advice[0] == ending.GO_ON
    assert "fix the cause first" in some.advice[1]
    assert go(wanted(tmp_path, overwrite=True)).advice is None
    piped = go(wanted(tmp_path, output="/dev/null", errors_least=10), Server(lambda index, call: Outcome.client_error))
    assert (piped.stopped, piped.advice) == ("errors", None)


def test_an_empty_dead_letter_file_is_nothing_to_do(tmp_path: Path) -> None:
    """A run without dead letters leaves one; sending it again passes. A line that asks for nothing is no such file."""
    own_rows(tmp_path, {})
    assert go(wanted(tmp_path)).passed
    again = {"input": str(tmp_path / "bad.jsonl"), "output": str(tmp_path / "again.jsonl")}
    result = go(wanted(tmp_path, **again, dead_letter=str(tmp_path / "bad2.jsonl")))
    assert (result.passed, result.nothing_to_do, result.text) == (True, True, "")
    assert go(wanted(tmp_path, **again, dead_letter=str(tmp_path / "bad2.jsonl"), resume=True)).passed
    (tmp_path / "bad.jsonl").write_text("\n")
    assert not go(wanted(tmp_path, **again, dead_letter=str(tmp_path / "bad2.jsonl"), overwrite=True)).passed
