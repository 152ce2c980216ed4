"""Sizes of the values of a template.

A list may hold another list a thousand times, which costs nothing until it is written out, compared or sorted. So the
size of a value is that of its text, however often parts of it are shared.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

SIZE_MAX = 8 * 1024 * 1024
"""Characters and elements of a value that is written out, compared, or given to a filter, a test or a function."""
BYTES_OF_CHARACTER, BYTES_OF_ELEMENT, BYTES_OF_OBJECT = 1, 8, 56
_HELD = (list, tuple, dict, set, frozenset, KeysView, ValuesView, ItemsView)
_SMALL = frozenset({int, float, bool, type(None)})


def check_size(value: Any) -> int:
    """The size of a value; raises ValueError if that is too large."""
    if isinstance(value, str):
        if len(value) > SIZE_MAX:
            raise ValueError(_TOO_LARGE)
        return len(value)
    if not isinstance(value, _HELD):
        return 1
    return _size(value, {})


_TOO_LARGE = f"a value has more than {SIZE_MAX} characters and elements, with those of the lists within it"


def _size(held: Any, known: dict[int, tuple[Any, int]]) -> int:
    """The size of a list or table; each one is looked at once, however often it is part of others."""
    if (found := known.get(id(held))) is not None:
        return found[1]
    size = len(held)
    for parts in (held, list(held.values())) if isinstance(held, dict) else (list(held),):
        if not _SMALL.issuperset(map(type, parts)):
            for part in parts:
                if isinstance(part, str):
                    size += len(part)
                elif isinstance(part, _HELD):
                    size += _size(part, known)
                if size > SIZE_MAX:
                    break
    if size > SIZE_MAX:
        raise ValueError(_TOO_LARGE)
    # It is kept, so that no other object gets its identity.
    known[id(held)] = held, size
    return size


def bytes_of(value: Any) -> int:
    """About how many bytes a new value takes, without what it refers to."""
    if isinstance(value, str):
        return BYTES_OF_OBJECT + BYTES_OF_CHARACTER * len(value)
    return BYTES_OF_OBJECT + (BYTES_OF_ELEMENT * len(value) if isinstance(value, _HELD) else 0)


def check_text(value: Any) -> None:
    """Raise TypeError for a value that has no text, such as a generator; ValueError for too long a one."""
    if isinstance(value, _HELD):
        check_size(value)
    elif isinstance(value, Iterator):
        raise TypeError(f"a {type(value).__name__} has no text; `| list` or `| join(', ')` makes one of its elements")
    elif type(value).__module__ == "jinja2.utils":
        raise TypeError(f"a {type(value).__name__.lower()} has no text; write one of its values")
