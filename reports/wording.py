"""Sentences about a result's figures, shared by charts and formats."""

from __future__ import annotations

from collections.abc import Callable

from harness.base import units
from harness.client.cause import text_of
from harness.measure.judge import slo
from harness.measure.result import Case, Distribution, RunResult, Verdict
from reports import labels

VERDICT_WORDS = {
    "valid": ("✔", "Valid", "these numbers can be trusted"),
    "invalid": ("✖", "Invalid", "do not draw conclusions from these numbers"),
    "inconclusive": ("?", "Inconclusive", "there is not enough data for a conclusion"),
}
VIRTUAL = "simulated in virtual time"
"""How the note on a simulated server begins."""


def verdict_words(verdict: Verdict) -> tuple[str, str, str]:
    """Sign, name and meaning of a verdict."""
    return VERDICT_WORDS[verdict.status]


def badge_words(result: RunResult) -> tuple[str, str, str, str]:
    """Style, sign, name and meaning of the badge: the SLO if it failed, else the verdict."""
    sign, name, meaning = verdict_words(result.verdict)
    if slo.failed(result.cases):
        return "invalid", "✖", slo.outcome(result.cases), f"measurement: {name.lower()}, {meaning}"
    return result.verdict.status, sign, name, meaning


def per_case(result: RunResult, words: Callable[[Case], str]) -> str:
    """`name: words` of every case, one sentence each."""
    named = zip(labels.case_labels(result.cases), result.cases, strict=True)
    return " ".join(f"{name}: {words(case)}." for name, case in named)


def percentiles_words(spread: Distribution) -> str:
    """`p50 120 ms, p99 134 ms`, or `no data`."""
    if not spread.n:
        return "no data"
    return ", ".join(f"{name} {labels.percentile(spread, name)}" for name in ("p50", "p99"))


def latency_words(result: RunResult) -> str:
    """Median and p99 of latency and service time of each case."""

    def words(case: Case) -> str:
        return f"latency {percentiles_words(case.latency_s)}; service time {percentiles_words(case.service_time_s)}"

    return per_case(result, words)


def partial_words(result: RunResult) -> str:
    """A sentence that lists the partial cases; empty if there are none."""
    names = zip(labels.case_labels(result.cases), result.cases, strict=True)
    cut = [name.removesuffix(" (partial)") for name, case in names if case.partial]
    if not cut:
        return ""
    which = "Every case" if len(cut) == len(result.cases) else units.listing(cut)
    verb = "is" if len(cut) == 1 or which == "Every case" else "are"
    return f"Partial result: {which} {verb} incomplete; figures cover only the recorded part."


def pace_words(case: Case) -> str:
    """The limiting factor of a case as text."""
    return labels.printable(case.diagnosis.text) or "The limiting factor of this case is unknown."


def target_words(case: Case) -> str:
    """The URL of the server and its mock profile."""
    target = case.target
    profile = f" (mock profile {labels.printable(target.server)})" if target.server else ""
    return labels.printable(target.url) + profile


def target_notes(result: RunResult) -> list[str]:
    """Every note on a server, once each: scaled times, random weights. Virtual time has a line of its own."""
    notes = [labels.printable(case.target.note) for case in result.cases if case.target.note]
    if result.simulated:
        notes = [note.removeprefix(VIRTUAL).removeprefix("; ") for note in notes]
    return list(dict.fromkeys(filter(None, notes)))


def causes_words(case: Case) -> str:
    """`12 decisions: doubling adds throughput 5, fewer are enough 4, ...`, the most frequent first."""
    if case.limit is None or not case.limit.decisions:
        return "no decisions"
    causes = list(case.limit.causes.items())
    words = ", ".join(f"{text_of(cause)} {units.count(number)}" for cause, number in causes[:5])
    rest = sum(number for _, number in causes[5:])
    more = f", other {units.count(rest)}" if rest else ""
    lost = f"; {units.count(case.limit.dropped)} more were not recorded" if case.limit.dropped else ""
    return f"{units.count(case.limit.decisions)} decisions: {words}{more}{lost}"
