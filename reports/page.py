"""Writes a report: report.html, report.md and charts, each file atomically."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from harness.base.discovery import modules
from harness.base.files import write_atomically
from harness.measure.result import RunResult
from reports import formats as folder
from reports.charts import names as known_charts
from reports.drawing.draw import draw_all


def formats() -> list[str]:
    """The names of the formats: the modules of their folder."""
    return modules(folder.__path__)


def write(
    result: RunResult, directory: Path, names: Sequence[str] = ("html", "markdown"), charts: bool = True
) -> list[Path]:
    """Write the report in each format and the charts as PNG; returns the paths. Raises OSError, and ValueError."""
    for name in names:
        if name not in formats():
            raise ValueError(f"unknown format {name!r}: known are {', '.join(formats())}")
    drawings = draw_all(result) if charts else []
    written: list[Path] = []
    if charts:
        drawn = {drawing.name for drawing in drawings if drawing.png}
        # Remove pictures of an earlier report, because they show other data.
        for name in set(known_charts()) - drawn:
            (directory / "charts" / f"{name}.png").unlink(missing_ok=True)
    for drawing in drawings:
        if drawing.png:
            (directory / "charts").mkdir(exist_ok=True)
            written.append(directory / "charts" / f"{drawing.name}.png")
            write_atomically(written[-1], drawing.png)
    for name in names:
        module = importlib.import_module(f"reports.formats.{name}")
        written.append(directory / f"report.{module.SUFFIX}")
        write_atomically(written[-1], module.render(result, drawings).encode())
    return written
