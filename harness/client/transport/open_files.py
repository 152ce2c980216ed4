"""Limit of open files of this process, and messages for errors that come from it.

Each connection is an open file. The limit is the soft one of `ulimit -n`, which may be raised up to the hard one.
"""

from __future__ import annotations

import errno
import math

TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})


def limits() -> tuple[float, float]:
    """The soft and the hard limit; infinite where there is none."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows has no such limit
        return math.inf, math.inf
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (math.inf if value == resource.RLIM_INFINITY else float(value) for value in found)
    return soft, hard


def raise_limit() -> None:
    """Raise the soft limit to the hard one; no effect if the system refuses."""
    soft, hard = limits()
    if soft < hard < math.inf:
        import resource

        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(hard), int(hard)))
        except (ValueError, OSError):  # macOS refuses more than its own maximum
            return


def advice() -> str:
    """The limit, and a remedy."""
    return f"this process may have {limits()[0]:g} (`ulimit -n`): raise it, or keep fewer requests in flight"


def explained(error: OSError) -> str | None:
    """Message for an error caused by too few file descriptors; None for any other error."""
    return f"too many open files; {advice()}" if error.errno in TOO_MANY else None
