"""report.openmetrics.txt: OpenMetrics text, for GitLab's metrics reports and Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.measure.result import Case, Distribution, RunResult
from reports import labels
from reports.export_figures import names, number, rounded

if TYPE_CHECKING:
    from reports.drawing.draw import Drawing

SUFFIX = "openmetrics.txt"
CHARTS = False
PERCENTILES = ("p50", "p90", "p95", "p99", "p99_9")
Sample = tuple[dict[str, str], float]


def render(result: RunResult, drawings: Sequence[Drawing] = ()) -> str:
    """Gauges, one family after the other. Values are rounded to their noise, because GitLab compares them as texts."""
    cases = list(zip(names(result.cases), result.cases, strict=True))
    valid: list[Sample] = [({}, float(result.verdict.status == "valid"))]
    lines = [*_family("paceline_measurement_valid", "", "1 if the measurement is valid, else 0", valid)]
    for name, attribute, words in (
        ("paceline_latency_seconds", "latency_s", "Latency from due time"),
        ("paceline_service_time_seconds", "service_time_s", "From sent to done"),
        ("paceline_time_to_first_token_seconds", "ttft_s", "Time to first token"),
        ("paceline_inter_token_latency_seconds", "itl_s", "Gaps between content events"),
        ("paceline_time_per_output_token_seconds", "tpot_s", "Mean time per output token after the first"),
        ("paceline_end_to_end_seconds", "e2e_s", "From sent to the last content event"),
    ):
        samples = [sample for label, case in cases for sample in _percentiles(label, getattr(case, attribute))]
        lines += _family(name, "seconds", words, samples)
    lines += _family("paceline_completed_per_second", "", "Successes per second", _rates(cases))
    lines += _family("paceline_output_tokens_per_second", "", "Output tokens per second of successes", _tokens(cases))
    lines += _family("paceline_failed_ratio", "ratio", "Share of scheduled items that did not end ok", _shares(cases))
    lines += _family("paceline_slo_held", "", "1 if the condition holds, else 0", _slo(cases))
    return "\n".join([*lines, "# EOF"]) + "\n"


def _family(name: str, unit: str, words: str, samples: Sequence[Sample]) -> list[str]:
    if not samples:
        return []
    head = [f"# TYPE {name} gauge", *([f"# UNIT {name} {unit}"] if unit else []), f"# HELP {name} {words}."]
    return [*head, *(f"{name}{_labels(of)} {number(value)}" for of, value in samples)]


def _labels(of: dict[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in of.items()) + "}" if of else ""


def _escaped(text: str) -> str:
    return labels.printable(text).replace("\\", "\\\\").replace('"', '\\"')


def _percentiles(name: str, spread: Distribution | None) -> Iterator[Sample]:
    for percentile in PERCENTILES if spread is not None else ():
        found = getattr(spread, percentile)
        if found.value is not None:
            label = percentile.removeprefix("p").replace("_", ".")
            yield {"case": name, "percentile": label}, rounded(found.value, found.low, found.high)


def _rates(cases: Sequence[tuple[str, Case]]) -> list[Sample]:
    rates = [(name, case.rates_per_s.completed) for name, case in cases]
    return [({"case": name}, rounded(rate)) for name, rate in rates if rate is not None]


def _tokens(cases: Sequence[tuple[str, Case]]) -> list[Sample]:
    rates = [(name, case.tokens.per_s.output) for name, case in cases if case.tokens is not None]
    return [({"case": name}, rounded(rate)) for name, rate in rates if rate is not None]


def _shares(cases: Sequence[tuple[str, Case]]) -> list[Sample]:
    shares = [(name, labels.failed_share(case)) for name, case in cases]
    return [({"case": name}, rounded(share)) for name, share in shares if share is not None]


def _slo(cases: Sequence[tuple[str, Case]]) -> list[Sample]:
    held = {(name, check.condition): float(check.passed) for name, case in cases for check in case.slo}
    return [({"case": name, "condition": condition}, value) for (name, condition), value in held.items()]
