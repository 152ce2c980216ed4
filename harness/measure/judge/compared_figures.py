"""The figures by which two cases are compared: name, direction, and the value of one repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from harness.client.errors import UsageError
from harness.measure.repeat_figures import Points, RepeatFigures
from harness.measure.result import Case

BACKLOG = "backlog"
KEPT_UP = 0.95


class Figure(NamedTuple):
    """A figure of a repeat. Its names are those of --slo, where there is such a condition."""

    name: str
    label: str
    better: Literal["higher", "lower"]
    scale: Literal["ratio", "difference"]
    of: Callable[[RepeatFigures], float | None]


def _completed(repeat: RepeatFigures) -> float | None:
    return _per_second(repeat, repeat.completed_per_s)


def _goodput(repeat: RepeatFigures) -> float | None:
    return _per_second(repeat, repeat.goodput_per_s)


def _per_second(repeat: RepeatFigures, rate: float | None) -> float | None:
    """The rate; 0 where a repeat had items but no success, which must not count as a missing figure."""
    return 0.0 if rate is None and repeat.scheduled and not repeat.ok else rate


def _errors(repeat: RepeatFigures) -> float | None:
    return 1 - (repeat.ok + repeat.stopped) / repeat.scheduled if repeat.scheduled else None


def _percentiles(family: str, words: str, of: Callable[[RepeatFigures], Points | None]) -> list[Figure]:
    def figure(name: str) -> Figure:
        def value(repeat: RepeatFigures) -> float | None:
            points = of(repeat)
            found: float | None = None if points is None else getattr(points, name)
            return found

        return Figure(f"{family}{name}", f"{words}{name}", "lower", "ratio", value)

    return [figure(name) for name in ("p50", "p90", "p95", "p99")]


_ALL = [
    Figure("completed", "throughput", "higher", "ratio", _completed),
    Figure("goodput", "goodput", "higher", "ratio", _goodput),
    Figure("errors", "share of failures", "lower", "difference", _errors),
    Figure("makespan", "makespan", "lower", "ratio", lambda repeat: repeat.makespan_s),
    *_percentiles("", "", lambda repeat: repeat.latency_s),
    *_percentiles("service_", "service ", lambda repeat: repeat.service_time_s),
    *_percentiles("ttft_", "TTFT ", lambda repeat: repeat.ttft_s),
    *_percentiles("itl_", "ITL ", lambda repeat: repeat.itl_s),
    *_percentiles("tpot_", "TPOT ", lambda repeat: repeat.tpot_s),
    *_percentiles("e2e_", "E2E ", lambda repeat: repeat.e2e_s),
    Figure("tokens", "output tokens/s", "higher", "ratio", lambda repeat: repeat.output_tokens_per_s),
]
FIGURES = {figure.name: figure for figure in _ALL}
"""Every figure by name."""

_BACKLOG = ("completed", "goodput", "errors", "service_p50", "service_p95", "service_p99", "ttft_p95", "itl_p95")
_ARRIVALS = ("completed", "goodput", "errors", "p50", "p95", "p99", "ttft_p95", "itl_p95")


def named(names: Sequence[str]) -> list[Figure]:
    """Figures by name. Raises UsageError."""
    for name in names:
        if name not in FIGURES:
            raise UsageError(f"figure {name!r}: unknown; figures: {' '.join(FIGURES)}")
    return [FIGURES[name] for name in dict.fromkeys(names)]


def chosen(cases: Sequence[Case]) -> list[Figure]:
    """The figures that fit these cases, few on purpose: each one more makes every difference harder to find.

    A backlog is judged by service time, because its latency from due time is its makespan. Left out are throughput
    where it is the offered rate, goodput where it is the throughput, errors where there are none, and times that no
    repeat has.
    """
    names: tuple[str, ...] = _BACKLOG if all(case.load.kind == BACKLOG for case in cases) else _ARRIVALS
    if all(_keeps_up(case) for case in cases):
        names = tuple(name for name in names if name != "completed")
    repeats = [repeat for case in cases for repeat in case.by_repeat]
    figures = [FIGURES[name] for name in names]
    return [figure for figure in figures if _says_something(figure, repeats)]


def _keeps_up(case: Case) -> bool:
    """Whether the server answered the offered rate: then the throughput shows the load."""
    offered, completed = case.rates_per_s.offered, case.rates_per_s.completed
    return offered is not None and completed is not None and completed >= KEPT_UP * offered


def _says_something(figure: Figure, repeats: Sequence[RepeatFigures]) -> bool:
    values = [figure.of(repeat) for repeat in repeats]
    if figure.name == "goodput":
        return any(value != _completed(repeat) for value, repeat in zip(values, repeats, strict=True))
    if figure.name == "errors":
        return any(values)
    return any(value is not None for value in values)
