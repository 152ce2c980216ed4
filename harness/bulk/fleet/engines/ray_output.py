"""Keeps Ray's own messages off standard output, where `--json` writes.

Ray prints several long lines for each process and node that is lost, from a thread of its own, and has no setting for
that. The engine names lost workers in a line each. This is the one place that uses a private name of Ray.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PRINT = "print_to_stdstream"


@contextmanager
def without_messages() -> Iterator[None]:
    """Ray prints nothing while the block runs."""
    module: Any = sys.modules.get("ray._private.worker")
    if not hasattr(module, _PRINT):
        yield
        return
    before = getattr(module, _PRINT)
    setattr(module, _PRINT, _nothing)
    try:
        yield
    finally:
        setattr(module, _PRINT, before)


def _nothing(*arguments: Any, **more: Any) -> None:
    """Print nothing."""
