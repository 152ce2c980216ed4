"""The summary of a run: how it ended and whether it passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from harness.base import units
from harness.bulk.row_items import BROKEN_FILE
from harness.bulk.tally import RowCounts, as_builtins
from harness.client.figures import LayerCounts, counts_of
from harness.client.gate.memory import LimitMemory
from harness.client.transport.open_files import explained
from harness.measure.reduce.layer_figures import figures
from harness.measure.result import LayerFigures

# Counts that are tables, not numbers.
_TABLES = ("dead", "statuses", "samples")

GO_ON, START_AGAIN = "resume", "overwrite"
_ADVICE = {
    "interrupted": (GO_ON, "finished lines are kept"),
    "server": (GO_ON, "finished lines are kept. Once the server answers"),
    "disk": (GO_ON, "finished lines are kept. Once there is room"),
    "strategy": (GO_ON, "finished lines are kept; the lines without a result are sent again"),
    "input": (GO_ON, "finished lines are kept. Once the input is whole, and its first lines are those of this run"),
    "worker": (GO_ON, "finished lines are kept. Once the cause is mended"),
    "errors": (GO_ON, "finished lines are kept; fix the cause first, or the same lines fail again"),
}
"""Reason for the stop -> helpful option, and its condition."""


class Summary(msgspec.Struct, frozen=True):
    """How a run ended; `counts` are of all its sessions, `session` of this one."""

    complete: bool
    stopped: str | None  # errors, interrupted, server, disk, reader (of a pipe), input, worker or strategy
    # Reason for the stop, or for not passing.
    text: str
    counts: dict[str, Any]
    session: dict[str, Any]
    resumable: bool
    # Complete, with answers, and no more dead letters than allowed.
    passed: bool
    nothing_to_do: bool = False
    # Answers and dead letters that are in OUTPUT and the dead-letter file, of a run with workers that was stopped; the
    # others are in OUTPUT.parts until it is resumed. None: all of them.
    joined: dict[str, int] | None = None
    # Figures of layers in this session.
    layers: list[LayerFigures] = []

    @property
    def advice(self) -> tuple[str, str] | None:
        """The option of the same command that helps, and its condition; None if no option helps."""
        if self.stopped not in _ADVICE or not self.resumable:
            return None
        if self.stopped == "errors" and not self.counts["ok"]:
            return START_AGAIN, "no line got an answer, so there is nothing to resume; fix the cause first"
        return _ADVICE[self.stopped]


class EarlyEnd:
    """Reason why a run ends before its input does. The first one is kept."""

    def __init__(self, output: str) -> None:
        self._output = output
        # A word of `Summary.stopped`, and its explanation.
        self.reason: tuple[str, str] | None = None

    def __bool__(self) -> bool:
        return self.reason is not None

    def because(self, why: str, text: str) -> None:
        """Give a reason."""
        self.reason = self.reason or (why, text)

    def broken(self, error: OSError) -> None:
        """The output, the dead letters or the journal cannot be written."""
        if isinstance(error, BrokenPipeError):
            self.because("reader", "the reader of the output has gone")
        what = error.filename or self._output
        self.because("disk", explained(error) or f"{what}: cannot be written: {error.strerror or error}")

    @property
    def is_wish(self) -> bool:
        """Whether nothing is wrong: someone wants the run to end."""
        return self.reason is not None and self.reason[0] == "interrupted"

    @property
    def is_of_output(self) -> bool:
        """Whether nothing more can be written."""
        return self.reason is not None and self.reason[0] in {"disk", "reader"}


def summary(
    stopped: tuple[str, str] | None,
    counts: RowCounts,
    before: RowCounts,
    errors_max: float,
    *,
    empty: bool = False,
    layers: Sequence[LayerFigures] = (),
    joined: RowCounts | None = None,
    **more: bool,
) -> Summary:
    """Summary from the present counts and those at the start of this session; `empty`: the input file has no lines."""
    now, then = as_builtins(counts), as_builtins(before)
    session = {key: now[key] - then[key] for key in now if key not in _TABLES}
    session["dead"] = {kind: number - then["dead"].get(kind, 0) for kind, number in now["dead"].items()}
    why, text = stopped or (None, "" if empty else _too_many_dead(counts, errors_max))
    nothing = more.pop("nothing_to_do", False) or (empty and why is None)
    more |= {"passed": why is None and not text, "nothing_to_do": nothing}
    return Summary(why is None, why, text, now, session, joined=_joined(counts, joined), layers=list(layers), **more)


def layer_figures(layers: Sequence[LayerCounts], memory: LimitMemory | None) -> list[LayerFigures]:
    """Figures of layers, and of what limits learnt, which is saved first."""
    if memory is None:
        return list(figures(layers))
    memory.save()
    return list(figures([*layers, *counts_of([("remember", memory)])]))


def _joined(counts: RowCounts, joined: RowCounts | None) -> dict[str, int] | None:
    """Counts of the lines in the output; None if all are in it."""
    if joined is None or (joined.ok, joined.dead_lines) == (counts.ok, counts.dead_lines):
        return None
    return {"answers": joined.ok, "dead_letters": joined.dead_lines}


def _too_many_dead(counts: RowCounts, errors_max: float) -> str:
    """Reason why a finished run did not pass; empty if it passed."""
    if not counts.settled:
        return "the input has no line to send"
    if not counts.ok:
        return "no line got an answer"
    if broken := counts.dead.get(BROKEN_FILE):
        files = "1 file breaks off or is" if broken == 1 else f"{broken} files break off or are"
        return f"{files} damaged: rows after that place are missing; give the repaired files as INPUT of another run"
    if counts.dead_lines > errors_max * counts.settled:
        bound = f"{units.percent(errors_max)} (--errors-max)"
        return f"{counts.dead_lines} of {counts.settled} lines are dead letters, more than {bound}"
    return ""
