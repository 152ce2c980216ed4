"""Chooses how rows become items and answers, by the form of the output."""

from __future__ import annotations

from harness.bulk.openai_batch import BatchRows
from harness.bulk.row_items import Rows
from harness.bulk.settings import ProcessSettings
from harness.load.rows import RowReader


def rows_for(settings: ProcessSettings, reader: RowReader, priorities: bool) -> Rows:
    """The rows of the input. Raises UsageError; `priorities`: whether the strategy uses them."""
    kind = Rows if settings.output_format is None else BatchRows
    return kind(
        settings.tasks,
        settings.id_field,
        settings.with_input,
        settings.task_field,
        settings.priority_field,
        priorities,
        http=settings.http,
        reader=reader,
    )
