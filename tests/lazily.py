"""Modules that take seconds to import: each worker collects all test files, and runs a part of them."""

from __future__ import annotations

import importlib
from typing import Any


class Lazy:
    """A module that is imported by the first test that uses it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # pytest looks for private names in everything that a test file holds.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)
