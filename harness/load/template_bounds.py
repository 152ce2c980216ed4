"""Bounds of templates: a row cannot make a text without end, or a loop that nobody can wait for.

jinja2's sandbox keeps templates from files and from Python, but `"a" * 10 ** 10` is an ordinary expression to it, and
two loops within each other that write nothing are ordinary loops.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.base import units
from harness.load.template_values import BYTES_OF_OBJECT, bytes_of, check_size, check_text

TEXT_MAX = 8 * 1024 * 1024
"""Characters of a text, as of a line of input."""
WIDTH_MAX = 10_000
"""Characters to which a text may be filled up."""
BITS_MAX = 4_096
"""Bits of a whole number that a power or product may have."""
TIME_MAX_S = 10.0
"""Seconds in which a template has to write the text of a row."""
WRITTEN_MAX = 4 * TEXT_MAX
"""Characters that a template may write in all, also into texts that it keeps in variables."""
MADE_MAX = 256 * 1024 * 1024
"""Bytes of all texts, lists and tables that a template makes for a row, whether it keeps them or not."""
SPLIT_MAX = 1_000_000
"""Characters of a text that is split into many."""
SLOW_MAX = 100_000
"""Characters or elements that a filter of `SLOW` takes: its time grows with their square, and nothing can stop it."""
SLOW = frozenset({"wordwrap", "pprint", "striptags", "urlize"})
SPLITS = frozenset({"split", "rsplit", "splitlines", "wordcount", "list", "batch", "slice", "map", "select", "reject"})
"""Methods and filters that make a list of a text."""
WIDE = frozenset({"center", "wordwrap", "batch", "slice", "round"})
"""Filters with a width or a count."""
REPEATED_MAX = 100_000
"""Elements of a list that is repeated."""
INDENT_MAX = 16
OPERATORS = frozenset({"*", "**", "%", "+"})
PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "translate"})
"""Methods of texts that make them longer at will; the filters in their place are bounded."""
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\d{5,}|\*)")


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Raise ValueError if the result would be too large."""
    if operator == "+":
        _check_sum(left, right)
    elif operator == "%" and isinstance(left, str):
        if _WIDE.search(left):
            raise ValueError(f"a width in {left[:40]!r} is above {WIDTH_MAX}")
        # A table may be named several times.
        if check_size(right) * (left.count("%") if isinstance(right, dict) else 1) > TEXT_MAX:
            raise ValueError(f"a text would have more than {TEXT_MAX} characters")
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS_MAX:
            raise ValueError(f"a number would have more than {BITS_MAX} bits")
    elif operator == "*":
        sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
        most = TEXT_MAX if isinstance(sized, str) else REPEATED_MAX
        if hasattr(sized, "__len__") and isinstance(times, int) and len(sized) * times > most:
            raise ValueError(f"a text or list would have more than {most} elements")


def _check_sum(left: Any, right: Any) -> None:
    if hasattr(left, "__len__") and hasattr(right, "__len__") and len(left) + len(right) > TEXT_MAX:
        raise ValueError(f"a text or list would have more than {TEXT_MAX} elements")


def check_call(called: Any, arguments: Sequence[Any]) -> None:
    """Raise ValueError for a method of a text that would make it too long."""
    text, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
    if not isinstance(text, str):
        return
    if name == "replace":
        check_filter(name, [text, *arguments])
    elif name in SPLITS:
        _check_split(name, text)
    elif name == "join" and arguments and hasattr(arguments[0], "__len__"):
        texts_of(arguments[0], text)


def texts_of(values: Iterable[Any], between: str = "") -> list[str]:
    """The texts of values; raises ValueError if they are too long together."""
    texts, size = list[str](), 0
    for value in values:
        check_text(value)
        texts.append(str(value))
        size += len(texts[-1]) + len(between)
        if size > TEXT_MAX:
            raise ValueError(f"a text would have more than {TEXT_MAX} characters")
    return texts


def _check_split(name: str, text: str) -> None:
    if len(text) > SPLIT_MAX:
        raise ValueError(f"{name}: its text has more than {SPLIT_MAX} characters")


def check_filter(name: str, values: Iterable[Any]) -> None:
    """Raise ValueError for an argument of a filter that makes a text too long; the first value is the text."""
    text, *arguments = values
    if name == "replace" and isinstance(text, str) and len(arguments) > 1:
        old, new = str(arguments[0]), str(arguments[1])
        if (text.count(old) if old else len(text) + 1) * len(new) > TEXT_MAX:
            raise ValueError(f"a text would have more than {TEXT_MAX} characters")
    elif name == "format":
        check_operands("%", str(text), arguments)
    elif name in SLOW and _size(text) > SLOW_MAX:
        raise ValueError(f"{name}: its text has more than {SLOW_MAX} characters or elements")
    elif name in SPLITS and isinstance(text, str):
        _check_split(name, text)
    elif name == "sum" and any(isinstance(argument, list | tuple) for argument in arguments):
        raise ValueError("sum: adds numbers; joining lists takes a time that grows with their square")
    elif name == "tojson" and any(isinstance(argument, int) and argument > INDENT_MAX for argument in arguments):
        raise ValueError(f"tojson: an indent is above {INDENT_MAX}")
    elif name == "indent" and isinstance(text, str):
        _check_indent(text, arguments)
    elif name in WIDE and any(isinstance(argument, int) and argument > WIDTH_MAX for argument in arguments):
        raise ValueError(f"{name}: a width is above {WIDTH_MAX}")


def _size(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def _check_indent(text: str, arguments: Sequence[Any]) -> None:
    """The width may be a text, too, and stands before each line."""
    width = max([4, *(len(one) if isinstance(one, str) else one for one in arguments if isinstance(one, int | str))])
    if width > WIDTH_MAX:
        raise ValueError(f"indent: a width is above {WIDTH_MAX}")
    if len(text) + width * (text.count("\n") + 1) > TEXT_MAX:
        raise ValueError(f"a text would have more than {TEXT_MAX} characters")


class Budget:
    """Time and text of one row."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """The next row."""
        self._end = time.monotonic() + TIME_MAX_S
        self._written = self._made = 0

    def spend(self, written: int = 0) -> None:
        """A step of a loop, a call, or so many characters; raises ValueError if that is too much."""
        self._written += written
        if self._written > WRITTEN_MAX:
            raise ValueError(f"it writes more than {WRITTEN_MAX} characters")
        if time.monotonic() > self._end:
            raise ValueError(f"it did not end within {units.seconds(TIME_MAX_S)}")

    def made(self, value: Any) -> Any:
        """A new value; raises ValueError if the values of this row are too large together."""
        self.spend()
        self._made += bytes_of(value)
        if self._made > MADE_MAX:
            raise ValueError(f"it makes values of more than {MADE_MAX} bytes")
        return value

    def steps(self, values: Iterable[Any], written: int) -> Iterator[Any]:
        """The values of a loop, whose body writes so many characters of its own."""
        for value in values:
            self.spend(written)
            self._made += BYTES_OF_OBJECT
            if self._made > MADE_MAX:
                raise ValueError(f"it makes values of more than {MADE_MAX} bytes")
            yield value

    def joined(self, pieces: Iterable[str]) -> str:
        """The text of a template. Raises ValueError if it is too long, or takes too long."""
        found, size = list[str](), 0
        for piece in pieces:
            size += len(piece)
            if size > TEXT_MAX:
                raise ValueError(f"its text has more than {TEXT_MAX} characters")
            self.spend()
            found.append(piece)
        return "".join(found)
