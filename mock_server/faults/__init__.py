"""What can go wrong, one kind a file. A file dropped in here is found by its `FAULT` class."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

from mock_server.faults._base import Fault
from mock_server.reading import ProfileError, convert

__all__ = ["Fault", "fault_of", "kinds"]


@cache
def kinds() -> dict[str, type[Fault]]:
    """Every kind of fault, by its name in a profile."""
    found: dict[str, type[Fault]] = {}
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            fault: type[Fault] = importlib.import_module(f"{__name__}.{module.name}").FAULT
            found[module.name.replace("_", "-")] = fault
    return found


def fault_of(data: Mapping[str, Any], where: str) -> Fault:
    """A checked fault from a `[[faults]]` table; raises `ProfileError` that starts with `where`."""
    rest = dict(data)
    kind = rest.pop("kind", None)
    if not isinstance(kind, str) or kind not in kinds():
        near = difflib.get_close_matches(str(kind), kinds(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ProfileError(f"{where}.kind = {kind!r}: {hint}allowed: {', '.join(kinds())}")
    fault: Fault = convert(rest, kinds()[kind], where)
    return fault
