"""Injected faults, one kind per file. A new file in this folder is found by its `FAULT` class."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from harness.base.discovery import modules
from mock_server.faults._base import Fault
from mock_server.toml_settings import ProfileError, convert

__all__ = ["Fault", "fault_of", "kinds"]


@cache
def kinds() -> dict[str, type[Fault]]:
    """Every kind of fault, by its name in a profile."""
    return {name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}").FAULT for name in modules(__path__)}


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
