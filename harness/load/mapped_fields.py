"""The fields and columns of `--map`, and the check that the tasks have these fields."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from harness.client.errors import UsageError
from harness.client.input_settings import field_columns
from harness.client.protocols import FieldsTask, provides
from harness.client.tasks.http.pointer import tokens_of
from harness.client.types import Task

_SHOWN = 12
_FIRST = ("text", "prompt", "messages", "input")


def columns_of(texts: Iterable[str]) -> dict[str, str]:
    """Field of the task -> column of the input, or a JSON Pointer into the row; raises UsageError."""
    columns = field_columns(texts, "--map")
    for field, column in columns.items():
        if column.startswith("/"):
            tokens_of(column, f"--map {field}")
    return columns


def check_fields(columns: Iterable[str], tasks: Sequence[Task], others: Collection[str] = ()) -> None:
    """Raise UsageError for a field of `--map` that no task reads. Tasks that declare no fields may read any.

    Args:
        columns: Fields that `--map` sets.
        tasks: Tasks of the rows; without any, each row names its own, and nothing is checked.
        others: Fields that are read by others than the tasks, such as the id.
    """
    declared = [task.row_fields for task in tasks if provides(task, FieldsTask)]
    if not declared or len(declared) < len(tasks):
        return
    known = {field for fields in declared for field in fields}
    for field in columns:
        if field not in known and field not in others:
            raise UsageError(f"--map {field}=...: {_unknown(field, known, tasks)}")


def _unknown(field: str, known: Collection[str], tasks: Sequence[Task]) -> str:
    near = difflib.get_close_matches(field, sorted(known), n=2, cutoff=0.5)
    # Fields of its own before the many parameters of an API.
    listed = sorted(known, key=lambda one: (one not in _FIRST, one))
    shown = ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")
    which = f"the task {tasks[0].name} has" if len(tasks) == 1 else "the tasks have"
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{which} no field {field}; {hint}known are {shown}"
