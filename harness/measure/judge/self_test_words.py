"""A self-test in words: the lines of the terminal and the Markdown table of the measurement error. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.base import units
from harness.measure.judge.self_test import SAYS, causes, law_name
from harness.measure.record.plan import transport_name
from harness.measure.self_test_result import Ceiling, Compared, SelfTest

LIMITED = {
    "client": "the client was busy all the time",
    "mock": "the mock was busy all the time: the client's own ceiling is higher",
    "processor": "both had to wait for a processor",
}

LEFT_OUT = {"jobs": "items wait in the server's job queue, and answers are polled"}
"""Strategies that the table of the measurement error does not compare."""
FEWER = 0.6
FREE_LOAD_MAX = 0.7
"""Load average of the last minute up to which nobody else can have kept even one processor busy."""


def rows(found: SelfTest) -> Iterator[tuple[str, str]]:
    """Name and value of each figure."""
    for transport, ceiling in found.ceilings.items():
        yield f"ceiling over {transport_name(transport)}", _ceiling(ceiling)
    if found.mock_ceiling_per_s is not None:
        yield "ceiling of the mock alone", _mock(found)
    for law in found.laws:
        if law.errors_s:
            yield f"error, {law_name(law)}", ", ".join(_error(*one) for one in law.errors_s)
    yield (
        "sleep too late, p50 and p99",
        (f"{units.seconds(found.sleep_late_p50_s)}, {units.seconds(found.sleep_late_p99_s)}"),
    )
    yield (
        "event-loop lag, p50 and p99",
        (f"{units.seconds(found.loop_lag_p50_s)}, {units.seconds(found.loop_lag_p99_s)}"),
    )
    yield (
        "waited for a processor",
        (f"client {units.share(found.run_queue_share)}, mock {units.share(found.mock_wait_share)} of the time"),
    )
    if found.load_average_1m is not None:
        yield "load average before the test", units.significant(found.load_average_1m)
    yield "the self-test took", units.seconds(found.took_s)


def _error(name: str, error_s: float, limit_s: float) -> str:
    """`p50 +300 µs (limit 1 ms)`."""
    wrong = " OFF" if abs(error_s) > limit_s else ""
    return f"{name} {signed(error_s)} (limit {units.seconds(limit_s)}){wrong}"


def advice(found: SelfTest) -> str:
    """What to do about a machine that is not fit: it was busy before the test began, or it was free and is too slow."""
    load = found.load_average_1m
    if load is None or load > FREE_LOAD_MAX:
        busy = "" if load is None else f" (load average {units.significant(load)})"
        do = f"end other programs{busy} or use a machine with more free processors, and run it again"
    else:
        do = (
            f"no other program was busy here (load average {units.significant(load)}), so the processors are too slow "
            "or shared with other machines: measure longer service times, with fewer requests in flight, or on a "
            "faster machine"
        )
    return f"What to do: {do}. Until then, compare figures only within one run, as ratios."


def signed(error_s: float) -> str:
    """An error with its sign."""
    return f"{'+' if error_s >= 0 else '-'}{units.seconds(abs(error_s))}"


def markdown(cells: Sequence[Compared]) -> str:
    """The table of the measurement error: a row for each strategy, a column for each number in flight."""
    levels = sorted({cell.in_flight or 0 for cell in cells})
    # The row with constant times has their mean; the median of the random ones is a little below it.
    injected = {level: max(cell.injected_p50_s for cell in cells if cell.in_flight == level) for level in levels}
    head = [f"{level} in flight ({units.seconds(injected[level])})" for level in levels]
    lines = [f"| strategy | {' | '.join(head)} |", "|---|" + "---|" * len(levels)]
    marks = list[str]()
    for name in dict.fromkeys(cell.name for cell in cells):
        found = {cell.in_flight: cell for cell in cells if cell.name == name}
        texts = [_cell(found[level], marks) if level in found else "" for level in levels]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    columns = " |" * (len(levels) - 1)
    lines += [f"| {name} | not compared: {why}{columns} |" for name, why in LEFT_OUT.items()]
    notes = [f"{number}. {mark}" for number, mark in enumerate(marks, 1)]
    return "\n".join([*lines, *(["", *notes] if notes else [])])


def _cell(cell: Compared, marks: list[str]) -> str:
    """`+0.4 ms, +0.9 ms`: the errors of p50 and p99; one beyond its limit is bold, with the number of its cause."""
    shown = []
    for name, error, limit in cell.errors_s:
        if abs(error) <= limit:
            shown.append(signed(error))
            continue
        shown.append(f"**{signed(error)}** ({', '.join(map(str, sorted(_numbers(causes(cell, name), marks))))})")
    asked, mean = cell.in_flight or 0, cell.in_flight_mean
    chosen = f" (mean in flight {units.level(mean)})" if mean is not None and mean < FEWER * asked else ""
    return f"{', '.join(shown)}{chosen}" if shown else "not measured"


def _numbers(of: Sequence[str], marks: list[str]) -> list[int]:
    kinds = [kind for cause in of for kind in _kinds(cause)] or ["No cause was found."]
    for kind in kinds:
        if kind not in marks:
            marks.append(kind)
    return [marks.index(kind) + 1 for kind in kinds]


def _kinds(cause: str) -> list[str]:
    """A cause without the figures of one cell; each code of a verdict is one."""
    if cause.startswith(SAYS):
        return [f"The verdict of the run says `{code}`." for code in cause.removeprefix(SAYS).split(", ")]
    kinds = {
        "the client waited": "Client or mock waited for a processor.",
        "requests or answers": "Requests were sent or answers came together, and waited for each other in the client.",
        "the host gave": "The host gave processor time to other machines.",
    }
    return [next((text for start, text in kinds.items() if cause.startswith(start)), cause)]


def _ceiling(ceiling: Ceiling) -> str:
    client, mock = units.microseconds(ceiling.client_cpu_us), units.microseconds(ceiling.mock_cpu_us)
    costs = f"CPU time for a request: client {client}, mock {mock}"
    return f"{units.rate(ceiling.rate_per_s)} ({costs}; {LIMITED[ceiling.limited_by]})"


def _mock(found: SelfTest) -> str:
    rate = found.mock_ceiling_per_s or 0.0
    shares = [
        f"{transport_name(name)} {units.share(one.rate_per_s / rate)}" for name, one in found.ceilings.items() if rate
    ]
    cost = units.microseconds(found.plain_client_cpu_us)
    return f"{units.rate(rate)} (plain client, CPU time for a request {cost}); used by {', '.join(shares)}"
