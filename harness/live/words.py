"""Tiles, charts and tables of the page, from cases as a result has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.base import units
from harness.client.redaction import one_line
from harness.live.page_state import Chart, Row, Table, Tile, chart
from harness.live.series import WINDOW_S, Point
from harness.measure.judge import slo
from harness.measure.judge.case_row import COLUMNS, figures_row
from harness.measure.judge.wording import sample_words
from harness.measure.result import OUTCOME_NAMES, Case, Distribution

RATE_S = 5
"""Seconds over which the present rate is computed."""


def is_backlog(case: Case) -> bool:
    """Whether every item is due at once; then the service time is what the server shows."""
    return case.load.kind == "backlog"


def tiles(case: Case, points: Sequence[Point] = (), running: bool = False) -> list[Tile]:
    """The figures of a case, while it runs with those of this moment."""
    return [*_work(case, points, running), *_times(case), *_client(case)]


def _work(case: Case, points: Sequence[Point], running: bool) -> Iterator[Tile]:
    counts, rates = case.counts, case.rates_per_s
    recent = list(points)[-RATE_S:] if running else []
    now = sum(point.ok for point in recent) / len(recent) if recent else None
    offered = f"offered {units.rate(rates.offered)}" if rates.offered is not None else ""
    so_far = f"{units.rate(rates.completed)} so far" if now is not None and rates.completed is not None else ""
    shown = rates.completed if now is None else now
    yield Tile("throughput", "throughput (ok)", units.rate(shown), ", ".join(filter(None, [so_far, offered])))
    failed = counts.scheduled - counts.ok
    if case.tokens is not None:
        yield Tile("tokens", "output tokens", units.rate(case.tokens.per_s.output), "so far" if running else "")
    of = f"of {units.count(counts.scheduled)} " + ("ended so far" if running else "items")
    yield Tile("ok", "ok", units.count(counts.ok), of)
    share = units.share(failed / counts.scheduled) if failed and counts.scheduled else ""
    yield Tile("failed", "failed", units.count(failed), share)
    flight = case.in_flight
    last = recent[-1] if recent else None
    if last is not None and last.in_flight is not None:
        limit = f"limit {units.level(last.limit)}" if last.limit is not None else ""
        yield Tile("in_flight", "in flight", units.level(last.in_flight), limit)
    else:
        yield Tile("in_flight", "in flight", units.level(flight.mean), f"at most {units.count(flight.max)}")


def _times(case: Case) -> Iterator[Tile]:
    name, spread = ("service time", case.service_time_s) if is_backlog(case) else ("latency", case.latency_s)
    for percentile in ("p50", "p95", "p99"):
        yield Tile(percentile, f"{name} {percentile}", *_quantile(spread, percentile))
    for key, label, found in (("ttft", "TTFT", case.ttft_s), ("tpot", "TPOT", case.tpot_s)):
        if found is not None:
            for percentile in ("p50", "p95"):
                yield Tile(f"{key}_{percentile}", f"{label} {percentile}", *_quantile(found, percentile))


def _quantile(spread: Distribution, percentile: str) -> tuple[str, str]:
    value = getattr(spread, percentile).value
    return units.seconds(value), "" if value is not None or not spread.n else "n too small"


def _client(case: Case) -> Iterator[Tile]:
    use = case.resources
    ceiling = f"{units.share(use.ceiling_share)} of its ceiling" if use.ceiling_share is not None else ""
    yield Tile("cpu", "client CPU", units.share(use.client_cpu_share), ceiling or "of a core")
    lag = next((name for name in ("p99", "p95", "p90") if getattr(case.lag_s, name).value is not None), "p50")
    loop = f"event loop {units.seconds(use.loop_lag_p99_s)}" if use.loop_lag_p99_s is not None else ""
    if is_backlog(case):
        yield Tile("lag", "event-loop lag p99", units.seconds(use.loop_lag_p99_s))
    else:
        yield Tile("lag", f"client lag {lag}", units.seconds(getattr(case.lag_s, lag).value), loop)


def charts(points: Sequence[Point], backlog: bool) -> list[Chart]:
    """The last minutes of a trial."""
    failed = [float(p.failed) for p in points] if any(p.failed for p in points) else []
    tokens = [float(p.tokens) for p in points] if any(p.tokens for p in points) else []
    ended = [("ok", "ok", [float(p.ok) for p in points]), ("failed", "bad", failed)]
    flight = [("in flight", "ok", [p.in_flight for p in points]), ("limit", "quiet", [p.limit for p in points])]
    cpu = [("busiest process", "ok", [p.cpu_share for p in points])]
    times = [
        ("p50", "ok", [p.p50_s for p in points]),
        ("p99", "mid", [p.p99_s for p in points]),
        ("max", "quiet", [p.max_s for p in points]),
    ]
    window = f"of what ended in the last {WINDOW_S} s"
    return [
        chart("rate", "requests that ended", "per second", units.rate, ended),
        chart("latency", "service time" if backlog else "latency", window, units.seconds, times),
        chart("in_flight", "in flight", "mean of each second", units.level, flight),
        chart("tokens", "output tokens", "per second", units.rate, [("tokens", "ok", tokens)]),
        chart("cpu", "client CPU", "share of a core", units.share, cpu),
    ]


def cases_table(rows: Sequence[Row], title: str) -> Table:
    """The table of the cases."""
    return Table("cases", title, ["case", *COLUMNS], list(rows))


def case_row(case: Case, state: str, name: str | None = None) -> Row:
    """The row of a case. Its values are those of the result."""
    _, *cells = figures_row(case)
    shown = (name or case.name) + (" (partial)" if case.partial else "")
    return Row(state, [one_line(shown), *cells], values(case))


def waiting_row(name: str) -> Row:
    """The row of a case that was not played yet."""
    return Row("waiting", [one_line(name), *[units.NONE] * len(COLUMNS)])


def values(case: Case) -> dict[str, float | None]:
    """The figures of a case by name."""
    return {
        "scheduled": case.counts.scheduled,
        "ok": case.counts.ok,
        "makespan_s": case.makespan_s,
        "completed_per_s": case.rates_per_s.completed,
        "latency_p50_s": case.latency_s.p50.value,
        "latency_p95_s": case.latency_s.p95.value,
        "latency_p99_s": case.latency_s.p99.value,
        "output_tokens_per_s": case.tokens.per_s.output if case.tokens is not None else None,
        "service_p99_s": case.service_time_s.p99.value,
        "in_flight_mean": case.in_flight.mean,
        "client_cpu_us_per_request": case.resources.client_cpu_us_per_request,
    }


def outcomes_table(cases: Sequence[tuple[str, Case]]) -> list[Table]:
    """Items by outcome; outcomes that no case has are left out."""
    known = [name for name in OUTCOME_NAMES if name == "ok" or any(getattr(case.counts, name) for _, case in cases)]
    rows = []
    for shown, case in cases:
        found = {name: float(getattr(case.counts, name)) for name in known}
        rows.append(Row("", [one_line(shown), *(units.count(number) for number in found.values())], dict(found)))
    return [Table("outcomes", "Outcomes", ["case", *(name.replace("_", " ") for name in known)], rows)] if rows else []


def slo_lines(case: Case, name: str = "") -> list[str]:
    """The conditions of the SLO that have a figure."""
    before = f"{name}: " if name else ""
    return [one_line(before + slo.describe(checked)) for checked in case.slo if checked.value is not None]


def failure_lines(case: Case, name: str) -> list[str]:
    """A sample of each kind of failure."""
    return [one_line(f"{name}: {line}") for line in sample_words(case)]
