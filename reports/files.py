"""Writes the files of a report: report.SUFFIX and charts/NAME.png, each atomically."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.base.files import write_atomically

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing


def as_bytes(content: str | bytes) -> bytes:
    """The content of a file."""
    return content.encode() if isinstance(content, str) else content


def write(
    directory: Path,
    contents: Iterable[tuple[str, str | bytes]],
    drawings: Sequence[Drawing],
    replaced: Collection[str] = (),
) -> list[Path]:
    """Write a file for each suffix and content, and a picture for each drawing that has one; returns the paths.

    Pictures of the names in `replaced` that were not drawn are removed: they show other data. Raises OSError.
    """
    pictures = {f"charts/{one.name}.png": one.png for one in drawings if one.png}
    for name in replaced:
        if f"charts/{name}.png" not in pictures:
            (directory / "charts" / f"{name}.png").unlink(missing_ok=True)
    if pictures:
        (directory / "charts").mkdir(exist_ok=True)
    files = {**pictures, **{f"report.{suffix}": as_bytes(content) for suffix, content in contents}}
    for name, data in files.items():
        write_atomically(directory / name, data)
    return [directory / name for name in files]
