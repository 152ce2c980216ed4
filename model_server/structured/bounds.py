"""The error of a schema that cannot be met, and the bounds of schemas and of what is made for them."""

from __future__ import annotations

DEPTH_MAX = 32
"""Levels of values within each other, in the schema and in what is made for it."""
DEPTH_LEAN = 5
"""From this level on, optional properties and items are left out, so that a schema that refers to itself ends."""
SCHEMAS_MAX = 5_000
VALUES_MAX = 10_000
CHARS_MAX = 100_000
"""Of one text, and of one key."""
PATTERN_MAX = 500
TRIES = 12
_PATH_MAX = 120


class SchemaError(ValueError):
    """A schema that is wrong, unsupported or impossible to meet: the place in it and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        # A place deep in a schema that refers to itself would fill the line.
        path = path if len(path) <= _PATH_MAX else f"{path[:_PATH_MAX]}..."
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
