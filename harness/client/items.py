"""From rows to items: the first line of an application that uses the client without the harness."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any

from harness.client.errors import ItemError
from harness.client.types import Item, Task

Row = Mapping[str, Any]


async def items(task: Task, rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Item]:
    """The items of these rows, checked one by one as they are pulled, numbered from 0.

    A row may carry `priority` (a whole number, smaller is more urgent). Raises ItemError that names row and field at
    the first row that is not one: files with doubtful lines are read by the workloads.
    """
    index = 0
    async for row in _each(rows):
        yield item_of(task, row, index)
        index += 1


def item_of(task: Task, row: Row, index: int = 0) -> Item:
    """One row as an item; raises ItemError that names row and field."""
    try:
        data = task.parse(row)
        priority = row.get("priority", 0)
        if type(priority) is not int:
            raise ItemError(f"priority: {priority!r} is not a whole number")  # noqa: TRY301 - one place adds the row
    except ItemError as error:
        raise ItemError(f"row {index}: {error}") from error
    return Item(index, data, task, priority)


def setting_of(item: Item, name: str) -> Any:
    """A setting of the task, unless the row brought its own; None where neither says anything."""
    own: Mapping[str, Any] = getattr(item.data, "parameters", {})
    return own.get(name, getattr(item.task, name, None))


async def _each(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Row]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
