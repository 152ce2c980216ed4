"""Whether a server can be fitted at all: reasons against it, each in one clause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.base import units
from harness.fitting.calibration import DRIFT_MAX, Calibration
from harness.fitting.estimates import LONE_MIN
from harness.fitting.load_figures import Figures, figures, relative, steadiness
from harness.fitting.replaying import played
from mock_server.profile import Profile

LOSS_MAX = 0.10
"""A fit whose simulation is further from the calibration than this is refused."""
RATE_ERROR_MAX = 0.10
FLOOR_MAX = 0.25
"""A server that is noisier does not get larger limits."""
FAILURES_MAX = 0.02
STALLED = 0.6
"""A window of a load with a smaller share of the usual answers is a stall, if the fitted server has none."""

Pairs = Sequence[tuple[str, Figures, Figures]]


def failures(calibration: Calibration) -> str | None:
    """Requests that failed in another way than by a refusal, or lone ones that were all refused."""
    for seen in calibration.all:
        failed = float((~seen.ok & ~seen.refused).mean()) if len(seen) else 1.0
        if failed > FAILURES_MAX:
            return f"{units.share(failed)} of the requests of the load '{seen.name}' failed"
    idle = calibration.idle
    if idle is not None and idle.ok.sum() < LONE_MIN:
        return (
            f"{units.share(idle.refused.mean())} of the requests of the load '{idle.name}' were refused, and "
            f"{idle.ok.sum()} answered; at least {LONE_MIN} answers to lone requests are needed"
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


def stalls(calibration: Calibration, profile: Profile, task: str, seed: int) -> list[str]:
    """The load in which the server came nearest to a stop for a while, if the fitted one does not."""
    closed = [one for one in calibration.closed if not one.refused.any()]
    if not closed:
        return []
    share, seen = min(((steadiness(one), one) for one in closed), key=lambda pair: pair[0])
    if share >= STALLED:
        return []
    load = replace(calibration.loads[seen.name], items=len(seen), seconds=3600.0)
    (again,) = played(profile, [load], task, seed + 2)
    if steadiness(again) <= (1 + share) / 2:
        return []
    fewer = f"{units.share(1 - share)} fewer requests for a while, as with a stall or a change of its size"
    return [f"it did not work steadily: under '{seen.name}' it answered {fewer}"]


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
