"""Reads a table of a TOML file: each mistake names file, key, value and the allowed values."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from harness.client.errors import SettingError


class Table:
    """A table of the file. Every key is read once; `end` refuses the others."""

    def __init__(self, where: str, values: Mapping[str, Any], section: str = "") -> None:
        self.file = where
        self._section = section
        self._values = dict(values)
        self._known: list[str] = []

    def where(self, key: str) -> str:
        """The place of a key, for messages."""
        return f"{self.file}: {f'[{self._section}] ' if self._section else ''}{key}"

    def error(self, key: str, text: str) -> SettingError:
        """The error for the value of a key."""
        value = self._values.get(key)
        written = str(value).lower() if isinstance(value, bool) else repr(value)
        shown = f" = {written}" if isinstance(value, str | int | float) and len(str(value)) <= 60 else ""
        return SettingError(f"{self.where(key)}{shown}: {text}")

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a key as it is."""
        self._known.append(key)
        return self._values.get(key, default)

    def text(self, key: str, default: Any = None, choices: Sequence[str] = ()) -> Any:
        """A text, or one of some."""
        value = self.value(key, default)
        if value is default and key not in self._values:
            return default
        if not isinstance(value, str):
            raise self.error(key, f"is {type_word(value)}, not a text")
        if choices and value not in choices:
            near = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise self.error(key, f"{hint}expected one of {', '.join(choices)}")
        return value

    def boolean(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.value(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"is {type_word(value)}, not true or false")
        return value

    def number(self, key: str) -> float | None:
        """A number."""
        value = self.value(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise self.error(key, f"is {type_word(value)}, not a number")
        return None if value is None else float(value)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int | None:
        """A whole number within a range."""
        value = self.value(key, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"is {type_word(value)}, not a whole number")
        if not low <= value <= high:
            raise self.error(key, f"must be between {low} and {high}")
        return value

    def table(self, key: str) -> Table | None:
        """A table inside of this one; None if it is not there."""
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, f"is {type_word(value)}, not a table; expected [{key}] or {{ ... }}")
        return Table(self.file, value, f"{self._section}.{key}" if self._section else key)

    def items(self) -> dict[str, Any]:
        """All keys and values, of a table whose keys are names of the author's own."""
        self._known += self._values
        return self._values

    def end(self) -> None:
        """Raise SettingError for a key that nobody has read."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, n=2, cutoff=0.5)
                hint = f"did you mean {' or '.join(near)}? " if near else ""
                raise SettingError(f"{self.where(key)}: unknown key; {hint}known are {', '.join(self._known)}")


def type_word(value: Any) -> str:
    """The TOML type of a value, in words."""
    names = {
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return "nothing" if value is None else names.get(type(value), "a date or time")
