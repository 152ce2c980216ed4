"""What held an adaptive client back beside the number in flight: a pace, a pause, a quota, the maximum, no work. Pure.

Shares are of the time of all repeats, as the gates were asked (`LimitLog.bound_by`). Records of earlier versions have
none; theirs are of the first repeat's timeline of the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.base import units
from harness.client.bound import Bound
from harness.client.cause import Cause
from harness.measure.result import Case, Diagnosis, LimitChange

PACED_SHARE_REPORTED, SHARE_REPORTED = 0.05, 0.2
DECIDES = 0.5
"""What bounds the sending for this share of the time is the limiting factor."""
_OUTAGE = Cause.outage.value
_Span = tuple[LimitChange, float]


def held_back(case: Case) -> str:
    """Sentences for a diagnosis, each with a space before it; empty if only the limit itself counted."""
    spans = list(_spans(case))
    shares = _shares(case, spans)
    sentences = [*_outage(spans), *_paced(spans, shares), *_quota(shares), *_maximum(case, shares), *_demand(shares)]
    return "".join(f" {sentence}" for sentence in sentences)


def limit_words(case: Case) -> str:
    """A sentence with a space before it if the adaptive limit itself held the client back most of the time."""
    share = case.limit.bound_by.get(Bound.limit.name, 0.0) if case.limit is not None else 0.0
    return f" For {units.share(share)} of the time its own limit kept it from sending more." if share > DECIDES else ""


def own_bound(case: Case) -> Diagnosis | None:
    """The limiting factor of a case whose client was held back most of the time by something else than its limit."""
    shares = case.limit.bound_by if case.limit is not None else {}
    most = max(shares, key=lambda name: shares[name], default="")
    if not most or shares[most] < DECIDES:
        return None
    share = units.share(shares[most])
    if most == Bound.pace.name:
        return Diagnosis(
            "strategy",
            f"For {share} of the time the client's own pace after refusals kept it from sending: the pace was the "
            "limit, and the server may have room.",
        )
    if most == Bound.maximum.name:
        return Diagnosis(
            "strategy", f"For {share} of the time the limit was at its maximum: the maximum was the limit."
        )
    if most in (Bound.pause.name, Bound.quota.name):
        why = "accepted nothing" if most == Bound.pause.name else "reported a spent quota"
        return Diagnosis("server", f"For {share} of the time the server {why}: the server was the limit.")
    if most == Bound.demand.name and case.load.kind == "backlog":
        return Diagnosis("client", f"For {share} of the time no item was ready to be sent: the client was the limit.")
    return None


def own_bound_reason(case: Case) -> Iterator[tuple[str, str]]:
    """A reason for the verdict: what was measured is the client's own bound."""
    found = own_bound(case)
    if found is not None and found.limited_by == "strategy":
        remedy = "set a larger maximum" if "maximum" in found.text else "compare with a static limit (-s queue-stream)"
        yield "own_bound", f"{found.text} The rate is not the server's: {remedy}."


def _spans(case: Case) -> Iterator[_Span]:
    """Each state of the limit, and how long it lasted in seconds."""
    if case.limit is None or not case.limit.timeline:
        return
    end = (case.makespan_s or 0.0) if not case.timeline else max(b.t_s + b.width_s for b in case.timeline)
    last = case.limit.timeline[-1]
    ended = LimitChange(max(end, last.t_s), last.limit, "")
    for change, following in pairwise([*case.limit.timeline, ended]):
        yield change, following.t_s - change.t_s


def _shares(case: Case, spans: list[_Span]) -> dict[str, float]:
    """What bound the sending, by the name of the bound; by the timeline if the gates were not asked."""
    if case.limit is not None and case.limit.bound_by:
        return case.limit.bound_by
    total_s = sum(seconds for _, seconds in spans)
    if not total_s:
        return {}
    maximum = _together(case)
    at_s = sum(seconds for change, seconds in spans if maximum is not None and change.limit >= maximum)
    paced_s = sum(seconds for _, seconds in _with_pace(spans))
    return {Bound.maximum.name: at_s / total_s, Bound.pace.name: paced_s / total_s}


def _together(case: Case) -> int | None:
    """The maximum of all limits together."""
    found = _maximum_of(case)
    return None if case.limit is None or found is None else found[1] * max(1, case.limit.applications)


def _with_pace(spans: list[_Span]) -> list[tuple[float, float]]:
    return [(c.pace_per_s, s) for c, s in spans if c.pace_per_s is not None and c.cause != _OUTAGE]


def _outage(spans: list[_Span]) -> Iterator[str]:
    lost_s = sum(seconds for change, seconds in spans if change.cause == _OUTAGE)
    if lost_s:
        yield f"For {units.seconds(lost_s)} the server accepted nothing, and the client sent only probes."


def _paced(spans: list[_Span], shares: dict[str, float]) -> Iterator[str]:
    share, paced = shares.get(Bound.pace.name, 0.0), _with_pace(spans)
    paced_s = sum(seconds for _, seconds in paced)
    if share > PACED_SHARE_REPORTED and paced_s:
        mean = sum(pace * seconds for pace, seconds in paced) / paced_s
        yield (
            f"After refusals the client paced its attempts for {units.share(share)} of the time, "
            f"at {units.rate(mean)} in the mean."
        )


def _quota(shares: dict[str, float]) -> Iterator[str]:
    if (share := shares.get(Bound.quota.name, 0.0)) > PACED_SHARE_REPORTED:
        yield f"For {units.share(share)} of the time a quota that the server reports was spent."


def _maximum(case: Case, shares: dict[str, float]) -> Iterator[str]:
    share = shares.get(Bound.maximum.name, 0.0)
    if share > SHARE_REPORTED and (found := _maximum_of(case)) is not None:
        name, maximum = found
        yield (
            f"The limit was at its maximum of {maximum:,} for {units.share(share)} of the time: "
            f"a larger one ({name}={2 * maximum}) may give more."
        )


def _maximum_of(case: Case) -> tuple[str, int] | None:
    """The setting that holds the maximum, and its value: `priority` calls it concurrency."""
    for name in ("maximum", "concurrency"):
        if isinstance(value := case.strategy.settings.get(name), int):
            return name, value
    return None


def _demand(shares: dict[str, float]) -> Iterator[str]:
    if (share := shares.get(Bound.demand.name, 0.0)) > SHARE_REPORTED:
        yield f"For {units.share(share)} of the time nothing was ready to be sent."
