"""The error of a schema that cannot be met, and the bounds of schemas and of the values made for them."""

from __future__ import annotations

DEPTH_MAX = 32
"""Levels of values within each other, in the schema and in its values."""
DEPTH_LEAN = 5
"""From this level on, optional properties and items are left out, so that a schema that refers to itself ends."""
SCHEMAS_MAX = 5_000
VALUES_MAX = 10_000
CHARS_MAX = 100_000
"""Of all texts, keys and fixed values together, in one value."""
STEPS_MAX = 200_000
"""Steps through patterns, for all values that are tried."""
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


class Budget:
    """The rest of a bound; `what` names its unit."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._left = most
        self._what = what

    def take(self, count: int, path: str) -> None:
        """Use some of it. Raises `SchemaError` if less is left."""
        self._left -= count
        if self._left < 0:
            raise SchemaError(path, f"asks for more than {self._most} {self._what}")
