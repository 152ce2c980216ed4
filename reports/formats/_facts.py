"""Facts for all formats, as plain cells and lines. Each format escapes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from harness.base import units
from harness.measure.judge import comparison_words, prompt_words, session_words
from harness.measure.judge.steps import steps
from harness.measure.judge.wording import layer_words, pace_row
from harness.measure.result import OUTCOME_NAMES, Case, Distribution, RunResult
from reports import labels
from reports.formats import _tokens


def _speed(case: Case) -> str:
    speed = case.rates_per_s
    return units.plus_minus(units.level(speed.completed), speed.completed, speed.completed_low, speed.completed_high)


def _flight(case: Case) -> str:
    return f"mean {units.level(case.in_flight.mean)}, max {units.count(case.in_flight.max)}"


COLUMNS: list[tuple[str, str, Callable[[Case], str]]] = [
    ("makespan", "from the load's zero to the last answer", lambda c: units.seconds(c.makespan_s)),
    ("ok/s", "successes per second", _speed),
    ("p50", "latency from due time, half of the successes", lambda c: labels.percentile_within(c.latency_s, "p50")),
    ("p95", "latency from due time", lambda c: labels.percentile_within(c.latency_s, "p95")),
    ("p99", "latency from due time", lambda c: labels.percentile_within(c.latency_s, "p99")),
    ("service p99", "from sent to done", lambda c: labels.percentile_within(c.service_time_s, "p99")),
    ("in flight", "sent and not yet answered: the mean over time, and the most at once", _flight),
    ("failed", "of all scheduled items", lambda c: units.share(labels.failed_share(c))),
    ("CPU/request", "of the client", lambda c: units.microseconds(c.resources.client_cpu_us_per_request)),
    ("memory", "peak resident memory of the client", lambda c: units.megabytes(c.resources.client_rss_max_mb)),
]  # fmt: skip
"""Heading, its explanation, and the cell of a case."""

SAMPLE_MAX = 300
"""Characters of an example of a failure."""

ENTRIES_MAX = 24
"""Entries of a mapping that are shown."""

SPARKS = "▁▂▃▄▅▆▇█"


def table(cases: list[Case]) -> list[list[str]]:
    """A row of cells per case, its label first."""
    names = labels.case_labels(cases)
    return [[name, *(cell(case) for _, _, cell in COLUMNS)] for name, case in zip(names, cases, strict=True)]


def outcomes(case: Case) -> list[tuple[str, str]]:
    """Every outcome that occurred, with its count."""
    found = [(labels.OUTCOME_WORDS[name], getattr(case.counts, name)) for name in OUTCOME_NAMES]
    return [(words, units.count(number)) for words, number in found if number]


def more_counts(case: Case) -> list[tuple[str, str]]:
    """Scheduled items, exchanges, and the counts of the server and of Locust."""
    counts = case.counts
    pairs: list[tuple[str, int | None]] = [
        ("scheduled", counts.scheduled),
        ("sent", counts.sent),
        ("attempts (HTTP exchanges)", counts.attempts),
        ("of these, calls of layers", counts.own_calls or None),
        ("seen by the server", counts.server_seen),
        ("seen by Locust", counts.locust_seen),
        ("answered from a cache", counts.cache_hits or None),
        ("cancelled on purpose", counts.stopped or None),
        ("not sent after a failed turn", counts.skipped or None),
        ("bad input lines", counts.bad_lines or None),
    ]
    return [(words, units.count(number)) for words, number in pairs if number is not None]


def layers(cases: list[Case]) -> list[tuple[str, str, str]]:
    """A row for each layer that has figures: case, layer, figures in words; none where no case has such a layer."""
    return [
        (name, labels.printable(layer.name), labels.printable(layer_words(layer)))
        for name, case in zip(labels.case_labels(cases), cases, strict=True)
        for layer in case.layer_figures
        if layer.figures
    ]


PROMPTS = ("strategy", *prompt_words.HEADS)


def prompts(result: RunResult) -> list[list[str]]:
    """Rows for the made-up prompts: lengths asked for and counted, by case, of a sweep or search together."""
    cases = result.cases
    if result.sweep is not None or result.capacity is not None:
        whole = prompt_words.together([case.prompts for case in cases])
        return [] if whole is None else [["all loads", *map(labels.printable, row)] for row in prompt_words.rows(whole)]
    return [
        [name, *(labels.printable(cell) for cell in row)]
        for name, case in zip(labels.case_labels(cases), cases, strict=True)
        if case.prompts is not None
        for row in prompt_words.rows(case.prompts)
    ]


PACE = ("strategy", "limited by", "figures")


def pace(cases: list[Case]) -> list[tuple[str, str, str]]:
    """A row for each case: its label, what limited it, the figures that show it."""
    return [(name, *pace_row(case)) for name, case in zip(labels.case_labels(cases), cases, strict=True)]


FAILURES = ("strategy", "outcome", "HTTP status", "requests", "of all", "example")


def failures(cases: list[Case]) -> list[list[str]]:
    """A row for each outcome and status that failed, with one answer or error as an example of the outcome."""
    rows = []
    for name, case in zip(labels.case_labels(cases), cases, strict=True):
        for one in case.failures:
            sample = case.failure_samples.get(one.outcome)
            text = labels.printable(sample.text) if sample is not None and sample.status == one.status else ""
            status = units.NONE if one.status is None else str(one.status)
            share = units.share(one.count / case.counts.scheduled) if case.counts.scheduled else units.NONE
            outcome = labels.printable(one.outcome.replace("_", " "))
            rows.append([name, outcome, status, units.count(one.count), share, labels.elide(text, SAMPLE_MAX)])
    return rows


TURNS = ("strategy", *session_words.HEADS)


def turn_rows(cases: list[Case]) -> list[list[str]]:
    """A row for each turn of each case with sessions."""
    named = zip(labels.case_labels(cases), cases, strict=True)
    return [[name, *row] for name, case in named for row in session_words.turn_rows(case)]


STEPS = ("strategy", "from", "to", "offered", "ok/s", "in flight", "service time", "latency late", "queue grew by")


def step_rows(cases: list[Case]) -> list[list[str]]:
    """A row for each step of a load with a changing rate."""
    return [
        [
            name,
            units.seconds(step.start_s),
            units.seconds(step.end_s),
            units.rate(step.rate_per_s),
            units.rate(step.ok / step.length_s),
            units.level(step.in_flight),
            units.seconds(step.service_s),
            units.seconds(step.late_s),
            units.count(step.left),
        ]
        for name, case in zip(labels.case_labels(cases), cases, strict=True)
        for step in steps(case)
    ]


def percentiles(case: Case) -> list[list[str]]:
    """Rows of the per-case table of distributions: name, n, effective n, mean, p50 ... max."""
    named = [
        ("latency", case.latency_s),
        ("service time", case.service_time_s),
        ("queue wait", case.queue_wait_s),
        ("retry time", case.retry_time_s),
        ("lag", case.lag_s),
        *_tokens.spreads(case),
    ]
    rows = []
    for name, spread in named:
        if spread is not None and spread.n:
            cells = [_percentile(spread, p) for p in ("p50", "p90", "p95", "p99", "p99_9")]
            effective = units.NONE if spread.n_effective is None else units.count(spread.n_effective)
            sizes = [units.count(spread.n), effective]
            rows.append([name, *sizes, units.seconds(spread.mean), *cells, units.seconds(spread.max)])
    return rows


def _percentile(spread: Distribution, name: str) -> str:
    """A percentile, with its interval if there is one."""
    between = labels.interval(getattr(spread, name))
    return labels.percentile(spread, name) + (f" ({between})" if between else "")


def how_measured(result: RunResult) -> list[tuple[str, str]]:
    """Facts for repeating the run and for judging the machine."""
    facts: list[tuple[str, str]] = [("run", result.id), ("started", result.started_at), ("seed", str(result.seed))]
    if result.schedule_sha256:
        facts.append(("schedule sha256", result.schedule_sha256))
    if transports := sorted({case.transport for case in result.cases if case.transport}):
        facts.append(("transport", ", ".join(transports)))
    facts += [(name, _value(value)) for name, value in {**result.tool, **result.environment}.items()]
    return [(labels.printable(name).replace("_", " "), labels.printable(value)) for name, value in facts]


def _value(value: Any) -> str:
    """A value on one line; of a long mapping, such as the hashes of all trials, the number."""
    if isinstance(value, Mapping) and len(value) > ENTRIES_MAX:
        return f"{len(value)} values, in result.json"
    return labels.value_words(value)


def sparkline(case: Case, width: int = 40) -> str:
    """Successes per second over time, in block characters; empty without a timeline."""
    rates = [bucket.ok / bucket.width_s for bucket in case.timeline if bucket.width_s]
    if not rates:
        return ""
    size = math.ceil(len(rates) / width)
    means = [sum(part) / len(part) for part in (rates[at : at + size] for at in range(0, len(rates), size))]
    most = max(means) or 1.0
    return "".join(SPARKS[min(7, int(value / most * 7.999))] for value in means)


def against_title(result: RunResult) -> str:
    """The heading of the table of comparisons."""
    return f"Against {labels.printable(result.comparisons[0].reference)}" if result.comparisons else ""


def noise(result: RunResult) -> list[str]:
    """What an A/A control shows; empty without one."""
    return [labels.printable(line) for line in comparison_words.noise(result.control)] if result.control else []


def against(result: RunResult) -> list[list[str]]:
    """A row for each figure of each case against the reference."""
    return [
        [labels.printable(cell) for cell in row] for row in comparison_words.rows(result.comparisons, result.control)
    ]
