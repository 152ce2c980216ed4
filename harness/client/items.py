"""From rows to items: the first line of an application that uses the client without the harness."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any

from harness.client.errors import ItemError
from harness.client.protocols import GeneratingTask, SampledTask, WithParameters, provides
from harness.client.types import Item, Task

Row = Mapping[str, Any]
PRIORITY_FIELD = "priority"
PRIORITY_MAX = 1_000_000
_OURS = "harness."


async def items(
    task: Task, rows: Iterable[Row] | AsyncIterable[Row], priority_field: str | None = PRIORITY_FIELD
) -> AsyncIterator[Item]:
    """The items of these rows, checked one by one as they are pulled, numbered from 0.

    A row may carry a priority (a whole number, smaller is more urgent) in `priority_field`; None: the rows have none.
    Raises ItemError that names row and field at the first row that is not one: files with doubtful lines are read by
    the workloads.
    """
    index = 0
    async for row in _each(rows):
        yield item_of(task, row, index, priority_field)
        index += 1


def item_of(task: Task, row: Row, index: int = 0, priority_field: str | None = PRIORITY_FIELD) -> Item:
    """One row as an item; raises ItemError that names row and field."""
    try:
        priority = 0 if priority_field is None else priority_of(row, priority_field)
        return Item(index, data_of(task, row), task, priority)
    except ItemError as error:
        raise ItemError(f"row {index}: {error}") from error


def data_of(task: Task, row: Row) -> Any:
    """A row as checked data; raises ItemError whatever the task makes of it.

    A task of the user's own also builds its request once: where it fails later, the row can no longer be set aside.
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
    """The priority in a row; 0 where it has none or null, and for anything else if nobody looks at priorities."""
    value = row.get(field)
    if value is None:
        return 0
    if type(value) is int and -PRIORITY_MAX <= value <= PRIORITY_MAX:
        return value
    if checked:
        raise ItemError(f"{field}={value!r:.80} is not a whole number within a million")
    return 0


def parameters_of(item: Item) -> Mapping[str, Any]:
    """The parameters that the row of an item sets itself."""
    return item.data.parameters if provides(item.data, WithParameters) else {}


def temperature_of(item: Item) -> float | None:
    """The temperature of the row, else of the task; None if both leave it to the server."""
    own = parameters_of(item)
    if "temperature" in own:
        temperature: float | None = own["temperature"]
        return temperature
    return item.task.temperature if provides(item.task, SampledTask) else None


def max_tokens_of(item: Item) -> int:
    """The most tokens that the answer to an item may have; 0 if no text is generated."""
    own = parameters_of(item)
    of_task = item.task.max_tokens if provides(item.task, GeneratingTask) else 0
    return int(own.get("max_completion_tokens") or own.get("max_tokens", of_task) or 0)


async def _each(rows: Iterable[Row] | AsyncIterable[Row]) -> AsyncIterator[Row]:
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
    else:
        for row in rows:
            yield row
