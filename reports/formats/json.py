"""report.json: the whole result, the same as result.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.measure.result import RunResult, encode

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "json"
CHARTS = False


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> bytes:
    """The canonical bytes."""
    return encode(result)
