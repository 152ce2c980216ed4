"""Bounds of templates: a row cannot make a text without end, or a loop that nobody can wait for.

jinja2's sandbox keeps templates from files and from Python, but `"a" * 10 ** 10` is an ordinary expression to it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

TEXT_MAX = 8 * 1024 * 1024
"""Characters of a text, as of a line of input."""
WIDTH_MAX = 10_000
"""Characters to which a text may be filled up."""
BITS_MAX = 4_096
"""Bits of a whole number that a power or product may have."""
TIME_MAX_S = 10.0
"""Seconds in which a template has to write the text of a row."""
OPERATORS = frozenset({"*", "**", "%"})
PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"})
"""Methods of texts that fill up to any width; the filters in their place are bounded."""
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\d{5,}|\*)")


def check_operands(operator: str, left: Any, right: Any) -> None:
    """Raise ValueError if the result would be too large."""
    if operator == "%":
        if isinstance(left, str) and _WIDE.search(left):
            raise ValueError(f"a width in {left[:40]!r} is above {WIDTH_MAX}")
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > BITS_MAX:
            raise ValueError(f"a number would have more than {BITS_MAX} bits")
    elif operator == "*":
        sized, times = (left, right) if hasattr(left, "__len__") else (right, left)
        if hasattr(sized, "__len__") and isinstance(times, int) and len(sized) * times > TEXT_MAX:
            raise ValueError(f"a text or list would have more than {TEXT_MAX} elements")


def check_filter(name: str, values: Iterable[Any]) -> None:
    """Raise ValueError for an argument of a filter that makes a text too long; the first value is the text."""
    text, *arguments = values
    if name == "replace" and isinstance(text, str) and len(arguments) > 1:
        old, new = str(arguments[0]), str(arguments[1])
        if (text.count(old) if old else len(text) + 1) * len(new) > TEXT_MAX:
            raise ValueError(f"a text would have more than {TEXT_MAX} characters")
    elif name == "format":
        check_operands("%", str(text), arguments)
    elif any(isinstance(argument, int) and argument > WIDTH_MAX for argument in arguments) and name != "truncate":
        raise ValueError(f"{name}: a width is above {WIDTH_MAX}")


def joined(pieces: Iterable[str]) -> str:
    """The text of a template. Raises ValueError if it is too long, or takes too long."""
    found, size, end = list[str](), 0, time.monotonic() + TIME_MAX_S
    for piece in pieces:
        size += len(piece)
        if size > TEXT_MAX:
            raise ValueError(f"its text has more than {TEXT_MAX} characters")
        if time.monotonic() > end:
            raise ValueError(f"it did not end within {TIME_MAX_S:g} s")
        found.append(piece)
    return "".join(found)
