"""From rows to items: the first line of an application that uses the client without the harness."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.client.errors import ItemError
from harness.client.types import Item, Task

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
