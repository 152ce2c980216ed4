"""Writes the requests of a run as one table, block by block: CSV, or Parquet (needs pyarrow)."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from harness.measure.reduce.request_table import COLUMNS, Block
from reports.formats.csv import cell
from reports.formats.parquet import pyarrow_modules

GROUP_ROWS = 64 * 1024
"""Rows in a row group of Parquet: these are held in memory."""


def write_csv(blocks: Iterable[Block], out: TextIO) -> int:
    """A header, then a row for each request; null is an empty cell. Returns the number of rows."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = 0
    for block in blocks:
        rows += len(block["index"])
        writer.writerows(zip(*(_cells(name, values) for name, values in block.items()), strict=True))
    return rows


def _cells(name: str, values: list[Any]) -> list[Any]:
    column = COLUMNS[name]
    if column.unit == "s":
        return ["" if value is None else f"{value:.9f}" for value in values]
    return values if column.kind is int else [cell(value) for value in values]


def write_parquet(blocks: Iterable[Block], out: BinaryIO | Path) -> int:
    """Typed columns; unit and meaning stand in the metadata of each field. Returns the number of rows."""
    arrow, parquet = pyarrow_modules()
    types = {str: arrow.string(), bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64()}
    schema = arrow.schema(
        [
            arrow.field(name, types[column.kind], metadata={"unit": column.unit, "meaning": column.meaning})
            for name, column in COLUMNS.items()
        ]
    )
    rows, waiting, held = 0, list[Any](), 0
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for block in blocks:
            waiting.append(arrow.RecordBatch.from_pydict(block, schema=schema))
            held += len(block["index"])
            rows += len(block["index"])
            if held >= GROUP_ROWS:
                writer.write_table(arrow.Table.from_batches(waiting, schema), row_group_size=GROUP_ROWS * 2)
                waiting, held = [], 0
        writer.write_table(arrow.Table.from_batches(waiting, schema))
    return rows
