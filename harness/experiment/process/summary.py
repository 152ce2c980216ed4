"""How a run ended, and whether that is good enough."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.experiment.process.tally import Counts, as_builtins


class Summary(msgspec.Struct, frozen=True):
    """How a run ended; `counts` are of all its sessions, `session` of this one."""

    complete: bool
    stopped: str | None  # errors, interrupted, server, disk, reader (of a pipe), input or strategy
    text: str  # why it was stopped, or why it did not pass
    counts: dict[str, Any]
    session: dict[str, Any]
    resumable: bool
    passed: bool  # complete, with answers, and no more dead letters than allowed
    nothing_to_do: bool = False


def summary(
    stopped: tuple[str, str] | None, counts: Counts, before: Counts, errors_max: float, **more: bool
) -> Summary:
    """Of counts up to now and those that this session began with."""
    now, then = as_builtins(counts), as_builtins(before)
    session = {key: now[key] - then[key] for key in now if key != "dead"}
    session["dead"] = {kind: number - then["dead"].get(kind, 0) for kind, number in now["dead"].items()}
    why, text = stopped or (None, _too_many_dead(counts, errors_max))
    return Summary(why is None, why, text, now, session, passed=why is None and not text, **more)


def _too_many_dead(counts: Counts, errors_max: float) -> str:
    """Why a run that has come to its end did not pass; empty if it did."""
    if not counts.settled:
        return "the input has no line to send"
    if not counts.ok:
        return "no line got an answer"
    if counts.dead_lines > errors_max * counts.settled:
        return f"{counts.dead_lines} of {counts.settled} lines are dead letters, more than {errors_max:.3g}"
    return ""
