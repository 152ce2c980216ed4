"""Loads the public names of a package on first use.

A package lists its names once, as ordinary imports under `if TYPE_CHECKING:`. Type checkers and editors read those
lines as they are. This module reads them from the source when the first name is used. (Python 3.15 and later have
`lazy from ... import` for this, PEP 810.)
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a package whose `__init__` lists its names.

    Args:
        package: Dotted name of the package, its `__name__`.
    """
    module = sys.modules[package]

    @cache
    def homes() -> dict[str, str]:
        return _listed(package, module.__spec__)

    def load(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes()[name]), name)
        setattr(module, name, value)
        return value

    return load, lambda: sorted({*vars(module), *homes()})


def _listed(package: str, spec: Any) -> dict[str, str]:
    """Map each name that the package's source re-exports to the module that holds it."""
    import ast

    source = _source(package, spec)
    if source is None:
        raise ImportError(f"{package} needs its source file __init__.py to find its names")
    return {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.asname == alias.name
    }


def _source(package: str, spec: Any) -> str | None:
    """The text of the package. pytest's loader, which rewrites the modules of its plug-ins, does not give it."""
    get_source = getattr(spec.loader, "get_source", None)
    if get_source is not None:
        text: str | None = get_source(package)
        return text
    return Path(spec.origin).read_text(encoding="utf-8") if spec.origin else None
