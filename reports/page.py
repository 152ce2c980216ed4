"""Writes a report: report.html, report.md, other formats and charts, each file atomically."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from harness.base.discovery import modules
from harness.measure.result import RunResult
from reports import files
from reports import formats as folder
from reports.charts import names as known_charts

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing


def formats() -> list[str]:
    """The names of the formats: the modules of their folder."""
    return [name.replace("_", "-") for name in modules(folder.__path__)]


def write(
    result: RunResult, directory: Path, names: Sequence[str] = ("html", "markdown"), charts: bool = True
) -> list[Path]:
    """Write the report in each format, and the charts as PNG if a format shows charts; returns the paths.

    Raises OSError, ValueError, and UsageError if a format needs a package that is not installed.
    """
    found = [_module(name) for name in names]
    charts = charts and any(_shows_charts(module) for module in found)
    drawings = _drawn(result) if charts else []
    contents = [(module.SUFFIX, module.render(result, drawings)) for module in found]
    return files.write(directory, contents, drawings, known_charts() if charts else ())


def render(result: RunResult, name: str, charts: bool = True) -> bytes:
    """One format as bytes. It has no links to picture files, because none are written. Raises as `write` does."""
    module = _module(name)
    drawings = _drawn(result, png=False) if charts and _shows_charts(module) else []
    return files.as_bytes(module.render(result, drawings))


def _module(name: str) -> ModuleType:
    if name not in formats():
        raise ValueError(f"unknown format {name!r}: known are {', '.join(formats())}")
    return importlib.import_module(f"reports.formats.{name.replace('-', '_')}")


def _shows_charts(module: ModuleType) -> bool:
    """Only a format that says so does without charts; drawing takes seconds."""
    return bool(getattr(module, "CHARTS", True))


def _drawn(result: RunResult, png: bool = True) -> list[Drawing]:
    from reports.drawing.draw import draw_all

    return draw_all(result, png=png)
