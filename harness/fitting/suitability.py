"""Whether a server can be fitted at all: reasons against it, each in one clause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.base import units
from harness.fitting.calibration import DRIFT_MAX, FAILURES_MAX, LEVELS, Calibration
from harness.fitting.estimates import LONE_MIN
from harness.fitting.load_figures import Figures, figures, relative, steadiness
from harness.fitting.replaying import played
from harness.fitting.seen import Floats, Seen
from mock_server.profile import Profile

LOSS_MAX = 0.10
"""A fit whose simulation is further from the calibration than this is refused."""
RATE_ERROR_MAX = 0.10
FLOOR_MAX = 0.25
"""A server that is noisier does not get larger limits."""
STOPS_MAX = 0.02
"""A server that stops for a larger share of the time is not fitted."""
STOPS_SHOWN = 0.002
"""Stops that take a smaller share are not reported."""
_LONGER = 1.5
"""A time without an answer counts if it is so many times the longest of the fitted server."""
STALLED = 0.6
"""A window of a load with a smaller share of the usual answers is a stall, if the fitted server has none."""

Pairs = Sequence[tuple[str, Figures, Figures]]


def failures(calibration: Calibration) -> str | None:
    """Requests that failed in another way than by a refusal, or lone ones that were all refused."""
    for seen in calibration.all:
        if seen.failed > FAILURES_MAX:
            return f"{units.share(seen.failed)} of the requests of the load '{seen.name}' failed"
    idle = calibration.idle
    if idle is not None and idle.ok.sum() < LONE_MIN:
        return (
            f"{units.share(idle.refused.mean())} of the requests of the load '{idle.name}' were refused, and "
            f"{idle.ok.sum()} answered; at least {LONE_MIN} answers to lone requests are needed"
        )
    if idle is not None and idle.shapes[0].output:
        return _without_tokens(calibration)
    return None


def _without_tokens(calibration: Calibration) -> str | None:
    """Why the times of tokens are not known."""
    idle = calibration.idle
    assert idle is not None  # noqa: S101 - its caller checked it
    # Requests of one token have no gaps, and neither have answers that come in one piece.
    if min(len(idle.gaps), int(np.isfinite(idle.first[idle.ok]).sum())) < LONE_MIN:
        return (
            "its answers to lone requests did not come token by token, so the time between two tokens is not known: it "
            "must stream them, and --task must ask for more than one"
        )
    return None


def changes(calibration: Calibration) -> list[str]:
    """A drift between the lone requests at the beginning and at the end."""
    drift = calibration.drift
    if abs(drift) <= max(DRIFT_MAX, 2.5 * calibration.drift_noise):
        return []
    which = "slower" if drift > 0 else "faster"
    became = f"it became {units.share(abs(drift))} {which} during the calibration"
    return [f"{became}; at most {units.share(DRIFT_MAX)} is allowed"]


@dataclass(frozen=True)
class Stops:
    """Times without any answer, although requests were in flight, that are longer than those of the fitted server."""

    count: int = 0
    longest_s: float = 0.0
    share: float = 0.0  # of the time of all loads, beyond what the fitted server takes

    @property
    def text(self) -> str:
        """In words; empty if they hardly matter."""
        if self.share <= STOPS_SHOWN:
            return ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return (
            f"it answered nothing for up to {units.seconds(self.longest_s)}, {times}, "
            f"{units.share(self.share)} of the time, with requests in flight"
        )


def stalls(calibration: Calibration, profile: Profile, task: str, seed: int) -> tuple[list[str], Stops]:
    """Signs of a stall or a change of size that the fitted server does not have; and its stops in any case."""
    closed = [one for one in calibration.all if one.concurrency and not one.refused.any()]
    loads = [replace(calibration.loads[seen.name], items=len(seen), seconds=3600.0) for seen in closed]
    pairs = list(zip(closed, played(profile, loads, task, seed + 2), strict=True))
    stops = _stops(pairs)
    if stops.share > STOPS_MAX:
        return [f"it stopped at times: {stops.text}"], stops
    wide = [pair for pair in pairs if 1 < pair[0].concurrency <= LEVELS[-1]]
    if not wide:
        return [], stops
    seen, again = min(wide, key=lambda pair: steadiness(pair[0]))
    share = steadiness(seen)
    if share >= STALLED or steadiness(again) <= (1 + share) / 2:
        return [], stops
    fewer = f"{units.share(1 - share)} fewer requests for a while, as with a stall or a change of its size"
    return [f"it did not work steadily: under '{seen.name}' it answered {fewer}"], stops


def _stops(pairs: Sequence[tuple[Seen, Seen]]) -> Stops:
    """The stops of all loads, against the longest time without an answer of each simulated load."""
    longer: list[float] = []
    beyond_s = whole_s = 0.0
    for seen, again in pairs:
        gaps, usual_s = _gaps(seen), _LONGER * float(max(_gaps(again), default=0.0))
        whole_s += float(gaps.sum())
        beyond_s += float(np.maximum(0.0, gaps - usual_s).sum())
        longer += gaps[gaps > usual_s].tolist()
    return Stops(len(longer), max(longer, default=0.0), beyond_s / whole_s if whole_s else 0.0)


def _gaps(seen: Seen) -> Floats:
    """Seconds between answers, or tokens of streams, of a closed loop, in which requests are in flight all the time."""
    done = np.sort(np.concatenate([seen.done[seen.ok], seen.first[seen.ok & (seen.chunks > 0)], seen.token_instants]))
    return np.diff(done, prepend=float(seen.sent.min())) if len(done) else np.empty(0)


def unexplained(calibration: Calibration, pairs: Pairs, lost: float) -> list[str]:
    """A load, or all loads together, that the best set of parameters does not explain."""
    floor = min(FLOOR_MAX, 2 * _floor(calibration))
    worst = max(pairs, key=lambda pair: abs(relative(pair[1], pair[2], "rate") or 0.0))
    error = relative(worst[1], worst[2], "rate") or 0.0
    if abs(error) > max(RATE_ERROR_MAX, floor):
        more = "more" if error > 0 else "less"
        best = f"under '{worst[0]}' the best one answers {units.share(abs(error))} {more} than the server"
    elif lost > max(LOSS_MAX, floor):
        best = f"the error of the best one is {units.share(lost)}, over {units.share(LOSS_MAX)}"
    else:
        return []
    return [f"no set of parameters explains all loads: {best}"]


def unmeasured(calibration: Calibration) -> list[str]:
    """Loads whose measurement was not valid: then this machine may be the reason, and not the server."""
    names = {one.case for one in calibration.problems}
    if not names:
        return []
    first = calibration.problems[0].text
    return [
        f"{len(names)} of its loads could not be measured here, so it may be this machine and not the server: {first}"
    ]


def _floor(calibration: Calibration) -> float:
    """How much the same load differed at the beginning and at the end: no profile can be nearer than that."""
    if calibration.idle is None or calibration.idle_again is None:
        return 0.0
    before, after = figures(calibration.idle), figures(calibration.idle_again)
    errors = [relative(before, after, name) for name in ("rate", "p50", "p95")]
    return max((abs(error) for error in errors if error is not None), default=0.0)
