"""report.parquet: one row for each repeat of each case, in typed columns (needs pyarrow)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.client.errors import UsageError
from harness.measure.result import RunResult
from reports.formats._rows import COLUMNS, rows

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "parquet"
CHARTS = False


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> bytes:
    """The whole file. Raises UsageError without pyarrow."""
    arrow, parquet = pyarrow_modules()
    types = {str: arrow.string(), bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64()}
    schema = arrow.schema([(column, types[kind]) for column, kind in COLUMNS.items()])
    out = arrow.BufferOutputStream()
    parquet.write_table(arrow.Table.from_pylist(rows(result), schema=schema), out)
    return bytes(out.getvalue().to_pybytes())


def pyarrow_modules() -> tuple[Any, Any]:
    """pyarrow and pyarrow.parquet. Raises UsageError without them."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError('format parquet needs the package pyarrow: pip install "paceline[parquet]"') from None
    return pyarrow, pyarrow.parquet
