"""The sentences and the table of a sweep. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.base import units
from harness.measure.result import Verdict
from harness.measure.sweep_result import Estimate, ModelFit, SweepPoint, SweepResult

UNMEASURED = "No level has a success that can be judged: there is nothing to recommend."


def level_words(result: SweepResult, level: float | None) -> str:
    """A level with its unit."""
    if level is None:
        return units.NONE
    return f"{level:,.0f}" if result.by == "concurrency" else units.rate(level)


def columns(result: SweepResult) -> list[str]:
    """The heads of the table."""
    first = "concurrency" if result.by == "concurrency" else "offered"
    return [first, "ok/s", "95 % interval", "p50", "p95", "p99", "errors", "in flight", "Little residual", ""]


def rows(result: SweepResult) -> list[list[str]]:
    """A row for each level."""
    return [_row(result, point) for point in result.points]


def _row(result: SweepResult, point: SweepPoint) -> list[str]:
    done = point.completed_per_s
    spread = f"{units.level(done.low)} to {units.level(done.high)}" if done.low is not None else units.NONE
    little = point.little_residual
    return [
        level_words(result, point.level),
        units.level(done.value),
        spread,
        units.seconds(point.p50_s.value),
        units.seconds(point.p95_s.value),
        units.seconds(point.p99_s.value),
        units.share(point.errors),
        units.level(point.in_flight),
        units.NONE if little is None else f"{round(100 * little, 1) + 0.0:+.1f} %",
        ", ".join(_marks(result, point)),
    ]


def _marks(result: SweepResult, point: SweepPoint) -> list[str]:
    marks = [knee_name(result)] if point.level == result.knee else []
    marks += [f"SLO {point.slo}"] if point.slo and point.left_out is None else []
    marks += ["cliff"] if point.level == result.cliff else []
    marks += ["fell behind"] if point.kept_up is False else []
    marks += ["too many failures"] if point.failing else []
    return marks + ([f"not judged: {point.left_out}"] if point.left_out else [])


def knee_name(result: SweepResult) -> str:
    """The name for the level of the knee: at the end of the levels that were measured, it is only that end."""
    return f"{result.edge} measured" if result.edge else "knee"


def headline(result: SweepResult, verdict: Verdict) -> str:
    """The advice, and whether to trust it."""
    if verdict.status == "invalid":
        return f"Do not trust this sweep: see the verdict. {result.advice}"
    return f"{result.advice} Not conclusive: see the verdict." if verdict.status == "inconclusive" else result.advice


def findings(result: SweepResult) -> list[str]:
    """At most four: the SLO, the model of the curve, levels that were not played, and a prediction."""
    model = model_words(result) if result.knee is not None else ""
    said = (_slo_words(result), model, _stop_words(result), _prediction_words(result))
    return [words for words in said if words]


def _prediction_words(result: SweepResult) -> str:
    """How far a prediction is from the measured figures; empty without one."""
    if result.predicted is None:
        return ""
    measured = {point.level: point for point in _judged(result)}
    pairs = [(measured[one.level], one) for one in result.predicted.levels if one.level in measured]
    rate = _furthest((point.completed_per_s.value, one.completed_per_s) for point, one in pairs)
    p50, p99 = (
        _furthest((getattr(point, name).value, getattr(one, name)) for point, one in pairs)
        for name in ("p50_s", "p99_s")
    )
    known = {"rate": rate, "p50": p50, "p99": p99}
    errors = ", ".join(f"{name} {units.change(error)}" for name, error in known.items() if error)
    note = f" ({result.predicted.note})" if result.predicted.note else ""
    return f"Predicted by {result.predicted.profile}{note}: at the worst level {errors or 'nothing to compare'}."


def _furthest(pairs: Iterable[tuple[float | None, float | None]]) -> float | None:
    """The largest error of a prediction, with its sign."""
    errors = [predicted / measured - 1 for measured, predicted in pairs if measured and predicted]
    return max(errors, key=abs, default=None)


def advice(result: SweepResult) -> str:
    """What to set, and what happens beyond."""
    if not any(point.completed_per_s.value for point in _judged(result)):
        return UNMEASURED
    if not any(point.goodput_per_s.value for point in _judged(result)):
        return _too_slow(result)
    return _rate_advice(result) if result.by == "rate" else _concurrency_advice(result)


def _judged(result: SweepResult) -> list[SweepPoint]:
    return [point for point in result.points if point.left_out is None]


def _too_slow(result: SweepResult) -> str:
    """Every level was answered, and no answer within the SLO."""
    lowest = _judged(result)[0]
    lower = "" if result.by == "concurrency" and lowest.level == 1 else f", extend --{result.by} downwards,"
    at = f"{level_words(result, lowest.level)} ({_figures(lowest)})"
    return f"No answer is within the SLO, even at {at}: choose another SLO{lower} or make the server faster."


def _concurrency_advice(result: SweepResult) -> str:
    here = next(point for point in result.points if point.level == result.knee)
    if result.slo and (result.capacity is None or result.capacity < here.level):
        return _within_slo(result, here)
    set_to = f"Set concurrency to {here.level:,.0f} ({_figures(here)})"
    if result.edge == "highest":
        return f"{set_to}: it is the highest level measured{_open_end(result, 'a higher one may be better')}"
    lower = " It is the lowest level tried, so a lower one may be enough: extend --concurrency downwards."
    higher = [point for point in _judged(result) if point.level > here.level]
    return f"{set_to}; {_beyond(result, here, higher)}{lower if result.edge == 'lowest' else ''}"


def _within_slo(result: SweepResult, knee: SweepPoint) -> str:
    """The highest level that holds the SLO, and what lies above it."""
    if result.capacity is None:
        rises = "throughput is highest at" if result.by == "concurrency" else "the server keeps up with"
        best = f"{rises} {level_words(result, knee.level)} ({_figures(knee)})"
        return f"No level holds the SLO for certain; without it, {best}."
    here = next(point for point in result.points if point.level == result.capacity)
    set_to = "Set concurrency to" if result.by == "concurrency" else "Offer at most"
    above = "throughput still rises up to" if result.by == "concurrency" else "the server keeps up with"
    return (
        f"{set_to} {level_words(result, here.level)} ({_figures(here)}), the highest level that holds the SLO; "
        f"{above} {level_words(result, knee.level)} ({_figures(knee)})."
    )


def _open_end(result: SweepResult, hope: str) -> str:
    """Knowledge about higher levels: why the sweep ended here, or how to see more."""
    if result.stopped is not None:
        return f". The sweep ended because {result.stopped}. {_higher(result)}".rstrip()
    return f", so {hope}. {_higher(result)}"


def _higher(result: SweepResult) -> str:
    """How to see more of the curve."""
    if result.not_played and result.stopped is None:
        return "The levels above it were not played."
    if any(point.left_out and point.level > (result.knee or 0.0) for point in result.points):
        return "Measure the levels above it again."
    return f"Extend --{result.by} upwards."


def _beyond(result: SweepResult, here: SweepPoint, higher: list[SweepPoint]) -> str:
    """The gain of the levels above the recommended one."""
    last = higher[-1]
    # A fall below the recommended level is no reason to stay below that fall.
    if result.cliff is not None and result.cliff > here.level:
        fallen = next(point for point in result.points if point.level == result.cliff)
        return f"throughput collapses at {result.cliff:,.0f} ({_figures(fallen)}): stay below it."
    if (refused := next((point for point in higher if point.failing), None)) is not None:
        return f"at {refused.level:,.0f} too many requests fail ({_figures(refused)})."
    start, end = here.goodput_per_s.value or 0.0, last.goodput_per_s.value or 0.0
    falls = end < (1 - 2 * result.noise) * start
    more = "throughput falls" if falls else "you only add latency"
    return f"beyond {here.level:,.0f} {more}: {last.level:,.0f} gives {_figures(last)}."


def _rate_advice(result: SweepResult) -> str:
    judged = _judged(result)
    if result.knee is None:
        return (
            f"The server fell behind at the lowest rate tried, {units.rate(judged[0].level)}. Extend --rate downwards."
        )
    here = next(point for point in judged if point.level == result.knee)
    if result.slo and (result.capacity is None or result.capacity < here.level):
        return _within_slo(result, here)
    failed = f", {units.share(here.errors)} failed" if here.errors else ""
    said = f"The server keeps up with {units.rate(result.knee)} ({_tail(here)}{failed})"
    if result.edge == "highest":
        return f"{said}, the highest rate measured{_open_end(result, 'it may stand more')}"
    behind = next(point for point in judged if point.level > result.knee)
    if behind.failing:
        return f"{said}; at {units.rate(behind.level)} too many requests fail ({_figures(behind)})."
    return f"{said}; at {units.rate(behind.level)} a queue grows: it completes {_figures(behind)}."


def _figures(point: SweepPoint) -> str:
    failed = f", {units.share(point.errors)} failed" if point.errors else ""
    return f"{units.rate(point.completed_per_s.value)}, {_tail(point)}{failed}"


def _tail(point: SweepPoint) -> str:
    """The highest percentile that the level has."""
    known = [(name, found) for name, found in (("p99", point.p99_s), ("p95", point.p95_s)) if found.value is not None]
    name, found = known[0] if known else ("p50", point.p50_s)
    return f"{name} {units.seconds(found.value)}"


def _slo_words(result: SweepResult) -> str:
    if not result.slo:
        return ""
    above = [point for point in _judged(result) if point.level > (result.capacity or 0.0)]
    unclear = [level_words(result, point.level) for point in above if point.slo == "unclear"]
    open_at = f" Unclear at {units.listing(unclear)}: use more --repeats or a longer --duration." if unclear else ""
    failed = next((point for point in result.points if point.level == result.fails_from), None)
    if result.capacity is None:
        cause = "a queue grows" if failed and _only_behind(failed) else "".join(failed.slo_words[:1] if failed else ())
        why = f" At {level_words(result, failed.level)} {cause}." if failed and cause else ""
        return f"The SLO is {result.slo}.{why}{open_at}"
    fails = f", fails from {level_words(result, failed.level)}{_why(failed)}" if failed else ""
    return f"The SLO {result.slo} holds up to {level_words(result, result.capacity)}{fails}.{open_at}"


def _why(failed: SweepPoint) -> str:
    """Why a level fails, where its figures hold and so do not show it."""
    return ": a queue grows there, so latencies depend on its length" if _only_behind(failed) else ""


def _only_behind(failed: SweepPoint) -> bool:
    return failed.kept_up is False and not failed.slo_words


def _stop_words(result: SweepResult) -> str:
    if not result.not_played:
        return ""
    skipped = units.listing([level_words(result, level) for level in result.not_played])
    if result.stopped is None:
        return f"Not played: {skipped}."
    return f"Stopped early, because {result.stopped}: {skipped} not played."


def model_words(result: SweepResult) -> str:
    """The chosen model and its parameters, with intervals."""
    fit = next((one for one in result.fits if one.model == result.model), None)
    if fit is None:
        return "Neither model describes the curve, or there are too few levels to tell."
    off = f"Residuals {units.share(fit.residual_rms)}{_others(result)}."
    if fit.model == "capped-linear":
        if not shows_limit(result, fit):
            return f"Capped linear: throughput rises in proportion to the level, no limit was reached. {off}"
        limit, corner = fit.parameters["limit_per_s"], fit.parameters["corner"]
        reached = f", reached at {_spread(corner)}" if corner.value else ""
        return f"Capped linear: a limit of {_spread(limit, '/s')}{reached}. {off}"
    sigma, kappa = fit.parameters["sigma"], fit.parameters["kappa"]
    peak = f"a peak at {_spread(result.peak)}" if result.peak is not None else "no peak within the measured range"
    return f"Universal scalability law: {peak}; sigma {_spread(sigma)}, kappa {_spread(kappa)}. {off}"


def shows_limit(result: SweepResult, fit: ModelFit) -> bool:
    """Whether the levels show a limit: a corner within the noise of the highest level is none.

    Nor is there one where the server kept up with every rate: fewer answers than offered are fewer arrivals by chance.
    """
    if result.by == "rate" and result.edge == "highest":
        return False
    corner = fit.parameters["corner"].value if "corner" in fit.parameters else None
    highest = max((point.level for point in _judged(result)), default=0.0)
    if fit.parameters["limit_per_s"].value is None:
        return False
    return corner is None or corner * (1 + result.noise) < highest


def _others(result: SweepResult) -> str:
    """The residuals of the models that were not chosen."""
    named = {"capped-linear": "capped linear", "usl": "scalability law"}
    others = [one for one in result.fits if one.model != result.model]
    return "".join(f" ({named[one.model]}: {units.share(one.residual_rms)})" for one in others)


def _spread(found: Estimate, unit: str = "") -> str:
    value = f"{units.level(found.value)}{unit}"
    if found.low is None or found.high is None:
        return value
    return f"{value} ({units.level(found.low)} to {units.level(found.high)})"
