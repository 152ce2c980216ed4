"""The calls of a task: from rows to items and requests, and from bodies to answers and results.

A task may be a user's own. So whatever it raises becomes an error of its row, or a bad response.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.client.answers import Answers, Usage, oddities_of, summed, usage_of
from harness.client.claimed_tokens import believed_answers
from harness.client.conversation import ConversationTask
from harness.client.errors import BadResponse, ItemError
from harness.client.protocols import CountedAnswer, provides
from harness.client.types import EventSplitter, Item, Outcome, Request, Response, Result, Task

if TYPE_CHECKING:
    from harness.client.hooks import BadRowHook

Row = Mapping[str, Any]
PRIORITY_FIELD = "priority"
PRIORITY_MAX = 1_000_000
_OURS = "harness."


async def items(
    task: Task,
    rows: Iterable[Row] | AsyncIterable[Row],
    priority_field: str | None = PRIORITY_FIELD,
    on_bad_row: BadRowHook | None = None,
) -> AsyncIterator[Item]:
    """The items of these rows, checked one by one as they are pulled.

    An item's `index` is the position of its row, from 0. Raises ItemError that names row and field at the first bad
    row, unless `on_bad_row` is given.

    Args:
        task: Checks the rows and makes the requests.
        rows: Mappings, from a plain or an asynchronous iterable.
        priority_field: Field with a row's priority, a whole number (smaller is more urgent); None if rows have no
            priority. Default "priority".
        on_bad_row: Gets one `BadRow` for each row that is not an item of the task; the row is skipped. `SkippedRows()`
            counts them. Default None: the first bad row is an error.
    """
    index = 0
    async for row in _each(rows):
        try:
            item = item_of(task, row, index, priority_field)
        except ItemError as error:
            if on_bad_row is None:
                raise
            _skip(on_bad_row, index, row, error)
        else:
            yield item
        index += 1


def _skip(on_bad_row: BadRowHook, index: int, row: Any, error: ItemError) -> None:
    from harness.client.hooks import BadRow

    on_bad_row(BadRow(index, row, error))


def item_of(task: Task, row: Row, index: int = 0, priority_field: str | None = PRIORITY_FIELD) -> Item:
    """One row as an item; raises ItemError that names row and field."""
    try:
        if type(row) is not dict and not isinstance(row, Mapping):
            raise ItemError(f"is {type(row).__name__}, not an object")  # noqa: TRY301 - gets its row's number below
        priority = 0 if priority_field is None else priority_of(row, priority_field)
        return Item(index, data_of(task, row), task, priority)
    except ItemError as error:
        raise ItemError(f"row {index}: {error}") from error


def data_of(task: Task, row: Row) -> Any:
    """A row as checked data; every error of the task becomes an ItemError.

    A user-defined task also builds its request once here: a later failure could no longer skip the row.
    """
    try:
        data = task.parse(row)
        if not type(task).__module__.startswith(_OURS):
            task.request((Item(0, data, task),))
    except ItemError:
        raise
    except Exception as error:
        raise ItemError(f"task {task.name}: {type(error).__name__}: {error}") from error
    return data


def priority_of(row: Row, field: str = PRIORITY_FIELD, checked: bool = True) -> int:
    """The priority in a row; 0 if it is missing or null, and for invalid values if priorities are not used."""
    value = row.get(field)
    if value is None:
        return 0
    if type(value) is int and -PRIORITY_MAX <= value <= PRIORITY_MAX:
        return value
    if checked:
        raise ItemError(f"{field}={value!r:.80} is not a whole number within a million")
    return 0


async def _each(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Row]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row


def request_for(item: Item) -> Request:
    """The request for a single item.

    Args:
        item: Item whose task makes the request.
    """
    return item.task.request((item,))


def answers_of(request: Request, splitter: EventSplitter, events: Sequence[bytes]) -> tuple[Any, ...]:
    """The answers of a finished stream, or of the plain answer that came in its place; raises BadResponse."""
    if splitter.plain is None:
        return checked_answers(request, request.task.answer_stream, events)
    answers = plain_answers_of(request, bytes(splitter.plain))
    return Answers(answers, 1 + oddities_of(answers), usage_of(answers))


def plain_answers_of(request: Request, body: bytes) -> tuple[Any, ...]:
    """The answers in a body; raises BadResponse."""
    return checked_answers(request, request.task.answer, body)


def stopped(request: Request, response: Response, events: Sequence[bytes]) -> None:
    """Fill in the response to a stream that the client ended on purpose: the answer as far as it came."""
    response.outcome = Outcome.cancelled
    if provides(request.task, ConversationTask):
        response.answers = (request.task.partial_answer(events),)


def checked_answers(request: Request, read: Callable[[Request, Any], tuple[Any, ...]], what: Any) -> tuple[Any, ...]:
    """The answers that a method of the task reads; an exception of a user-defined task is a bad response."""
    try:
        answers = read(request, what)
        found = len(answers)
    except BadResponse:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise BadResponse(f"task {request.task.name} cannot read the answer: {why}") from error
    if request.items and found != len(request.items):  # requests about jobs have no items
        raise BadResponse(f"task {request.task.name} read {found} answers for {len(request.items)} items")
    if type(answers) is not Answers:
        if not answers or type(answers[0]) is float or not provides(answers[0], CountedAnswer):
            return answers
        answers = Answers(answers, usage=summed(_usage(answer) for answer in answers))
    return answers if answers.usage is None else believed_answers(answers, answers.usage, request, what)


def _usage(answer: Any) -> Usage | None:
    """The counts of an answer of a user-defined task, which may have a form of their own."""
    counts = answer.usage
    if counts is None or isinstance(counts, Usage):
        return counts
    return Usage(counts.prompt_tokens, counts.completion_tokens)


def result_of(item: Item, response: Response, position: int = 0) -> Result:
    """Pair an item with its share of a response.

    Args:
        item: One of the items of the request.
        response: Response to the request.
        position: Place of the item in the request, from 0. Default 0.
    """
    answer = response.answers[position] if response.outcome is Outcome.ok else None
    return Result(item, response, answer)
