"""Finds plug-ins by their files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def modules(folders: Iterable[str]) -> list[str]:
    """The public modules in the folders of a package (its `__path__`), sorted by name; nothing is imported."""
    found = (path.stem for folder in folders for path in Path(folder).glob("*.py"))
    return sorted(stem for stem in found if not stem.startswith("_"))
