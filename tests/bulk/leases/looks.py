"""What tests look at in the state of the leases."""

from __future__ import annotations

from harness.bulk.leases.leases import Finished, Leases
from harness.bulk.leases.range import Range


def ready(leases: Leases) -> tuple[Range, Finished] | None:
    """The next range to join, once it is done: parts are joined in the order of the input."""
    for one, _, finished in leases.unjoined():
        return None if finished is None else (one, finished)
    return None


def held(leases: Leases) -> list[tuple[int, str]]:
    """Each range that is leased, and its holder."""
    return [(number, state.holder) for number, state in leases._states.items() if state.holder is not None]
