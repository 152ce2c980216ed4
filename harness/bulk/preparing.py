"""The parts of a run that follow from its settings: checked before any file is made. And its connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from harness import plugins
from harness.bulk import paths
from harness.bulk.output_forms import rows_for
from harness.bulk.part import Part
from harness.bulk.row_items import Rows
from harness.bulk.server_watch import Alive
from harness.bulk.settings import ProcessSettings
from harness.bulk.table_output import TableOutput, with_lines
from harness.client import stack
from harness.client.errors import UsageError
from harness.client.layer_settings import LayerSettings
from harness.client.protocols import BatchingStrategy, provides, uses_priorities
from harness.client.transport.open_files import raise_limit
from harness.client.types import Send, Strategy
from harness.load.mapped_fields import columns_of
from harness.load.rows import RowReader


class Prepared(NamedTuple):
    """The parts of a run."""

    settings: ProcessSettings
    table: TableOutput | None
    strategy: Strategy
    layers: LayerSettings
    reader: RowReader
    rows: Rows


def prepared(settings: ProcessSettings, part: Part | None) -> Prepared:
    """The parts of a run, or of the run of one range. Raises UsageError."""
    settings, table = with_lines(settings)
    name, own_layers = stack.split(settings.strategy)
    strategy: Strategy = plugins.make("strategy", name) if part is None else part.strategy
    layers = settings.layers.around(stack.parse(own_layers))
    paths.check_apart(settings, layers.named, [] if table is None else [("the table", table.path)])
    if provides(strategy, BatchingStrategy) and strategy.size > settings.window:
        raise UsageError(f"--window {settings.window} must be at least the strategy's size of a batch")
    reader = _reader(settings) if part is None else part.reader
    rows = rows_for(settings, reader, uses_priorities(strategy))
    rows.lines_before = part.range.line - 1 if part is not None else 0
    return Prepared(settings, table, strategy, layers, reader, rows)


def _reader(settings: ProcessSettings) -> RowReader:
    return RowReader(settings.input, columns_of(settings.columns), settings.reading, settings.more_inputs, once=True)


@asynccontextmanager
async def connection(of: Prepared, part: Part | None) -> AsyncIterator[tuple[Send, Alive | None, str]]:
    """The transport, the check of the server, and the server's identity; those of a range outlive it."""
    if part is not None:
        yield part.send, part.alive, part.server
        return
    from harness.bulk.connect import connected

    raise_limit()
    async with connected(of.settings, of.strategy, of.layers.keeps_answers) as found:
        yield found
