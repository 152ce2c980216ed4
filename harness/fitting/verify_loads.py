"""The loads of a verification, at shares of the capacity of the profile."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from harness.base import units
from harness.fitting.fit_loads import FitLoad, WordLengths
from harness.fitting.load_figures import figures
from harness.fitting.replaying import played
from mock_server.profile import SPEED_MAX, Profile

SHARES = (0.3, 0.6, 0.8)
"""Shares of the capacity at which the Poisson loads arrive."""
NEAR = 0.95
"""Share of a further one, which shows how sensitive latencies are there."""
RATE_MAX = 2000.0
"""No load arrives faster: with a larger capacity all shares become smaller alike."""
LOAD_S_MAX = 600.0
"""A profile so slow that ten arrivals last longer is not verified."""
_BUSY, _LONGER = 0.7, 3
"""Above this share of the capacity waits vary more, and the load lasts so many times as long."""
_OTHER_SHARE = 0.5
_BURST_SHARE, _BURST_FACTOR = 0.3, 2.5
_FULL, _FULL_MAX = 48, 3072
"""Requests in flight at which the capacity of a profile is measured, in virtual time; and most, with a rate limit."""
_FULL_ITEMS = 1500
_FASTER = 1.05
"""More in flight are tried while they raise the rate by this factor."""
_FASTER_BY = 1000.0


@dataclass(frozen=True)
class VerifyLoad:
    """A load, its share of the capacity if it has one, and how often it is played."""

    load: FitLoad
    share: float | None = None
    repeats: int = 2
    # Without a supported row of it the profile is not supported.
    decisive: bool = False


@dataclass(frozen=True)
class VerifyLoads:
    """The loads, and the capacity from which they are computed, in answers per second."""

    loads: tuple[VerifyLoad, ...]
    capacity: float

    @property
    def seconds(self) -> float:
        """Of all loads on both servers, at most."""
        return sum(2 * one.repeats * one.load.lasts_s for one in self.loads)

    @property
    def decisive(self) -> dict[str, float]:
        """The loads that decide, with their shares."""
        return {one.load.name: one.share or 0.0 for one in self.loads if one.decisive}

    @property
    def impossible(self) -> str | None:
        """Why they cannot be played; None if they can."""
        if not self.capacity:
            return "its mock answers no request"
        slowest = max((one.load for one in self.loads), key=lambda load: load.arrivals_s)
        if slowest.arrivals_s <= LOAD_S_MAX:
            return None
        return (
            f"its capacity is {units.rate(self.capacity)}, so the first requests of the load '{slowest.name}' take "
            f"{units.seconds(slowest.arrivals_s)} to arrive; at most {units.seconds(LOAD_S_MAX)} are allowed"
        )

    @property
    def caveat(self) -> str:
        """That no load is near the capacity; empty if one is."""
        most = max(self.decisive.values(), default=0.0)
        if most >= SHARES[-1]:
            return ""
        return (
            f"; the loads were at most {units.share(most)} of its capacity of {units.rate(self.capacity)}, because "
            f"none arrives faster than {units.rate(RATE_MAX)}"
        )


def loads_of(
    profile: Profile, task: str, bounds: tuple[int, int], duration_s: float, seed: int, near: bool = False
) -> VerifyLoads:
    """The loads for texts of these lengths. `near`: one more, at a share of 0.95, if it is not too fast."""
    low, high = bounds
    mixed = WordLengths("lognormal", low, high, (low * high) ** 0.5)
    other = WordLengths("uniform", low, high, (low + high) / 2)
    full, full_other = (capacity(profile, task, lengths, seed) for lengths in (mixed, other))
    if not (full and full_other):
        return VerifyLoads((), 0.0)
    # All shares are as much smaller as the largest one has to be.
    less, less_other = (min(1.0, RATE_MAX / (SHARES[-1] * one)) for one in (full, full_other))
    shares = [*SHARES, *([NEAR] if near and NEAR * full <= RATE_MAX else [])]
    numbers = seed * 100
    loads = [
        VerifyLoad(
            FitLoad(
                f"Poisson at {share * less:.3g}", mixed, rate_per_s=_rate(full * share * less),
                seconds=duration_s * (1 if share < _BUSY else _LONGER), seed=numbers + _SEEDS[share],
            ),
            share * less, decisive=share in SHARES,
        )
        for share in shares
    ]  # fmt: skip
    rate = _rate(full_other * _OTHER_SHARE * less_other)
    load = FitLoad("other lengths", other, rate_per_s=rate, seconds=duration_s, seed=numbers + 4)
    loads.append(VerifyLoad(load, _OTHER_SHARE * less_other))
    spike = f"spike:factor={_BURST_FACTOR},start_share=0.4,width_share=0.2"
    rate = _rate(full * _BURST_SHARE * less)
    load = FitLoad("on and off", mixed, rate_per_s=rate, arrivals=spike, seconds=duration_s, seed=numbers + 5)
    loads.append(VerifyLoad(load))
    if (bound := refused_above(profile)) is not None:
        items = min(512, round(1.5 * bound) + 4)
        load = FitLoad(f"burst of {items}", mixed, items, seconds=60, items=items, seed=numbers + 6)
        loads.append(VerifyLoad(load))
    return VerifyLoads(tuple(loads), full)


_SEEDS = {**{share: number for number, share in enumerate(SHARES)}, NEAR: 7}


def _rate(rate: float) -> float:
    return float(f"{rate:.4g}")


def refused_above(profile: Profile) -> int | None:
    """Requests at once above which the profile refuses; None if it never does."""
    bounds = _in_flight_bounds(profile)
    bounds += [profile.limits.burst] if profile.limits.rate_per_s else []
    return min(bounds) if bounds else None


def _in_flight_bounds(profile: Profile) -> list[int]:
    """Requests in flight above which the profile refuses, by each of its bounds."""
    limits, capacity, generation = profile.limits, profile.capacity, profile.generation
    found = [limits.in_flight] if limits.in_flight else []
    found += [capacity.queue_max + capacity.workers] if capacity.workers and capacity.queue_max < 500 else []
    found += (
        [generation.queue_max + generation.running_max] if generation.running_max and generation.queue_max < 500 else []
    )
    return found


def capacity(profile: Profile, task: str, lengths: WordLengths, seed: int) -> float:
    """Answers per second when many requests are in flight; at most the rate that the profile accepts. 0: none."""
    limit = profile.limits.rate_per_s * profile.speed
    # A closed loop that is refused measures its own pace, so the rate is without the limit.
    limits = msgspec.structs.replace(profile.limits, rate_per_s=0.0)
    unlimited = msgspec.structs.replace(profile, limits=limits)
    most = min([_FULL_MAX, *_in_flight_bounds(profile)])
    level, best = min(_FULL, most), 0.0
    rate = _closed_loop(unlimited, task, lengths, level, seed)
    # An accepted rate that needs more in flight than this is no less accepted.
    while best * _FASTER < rate < limit and level < most:
        level, best = min(2 * level, most), rate
        rate = _closed_loop(unlimited, task, lengths, level, seed)
    rate = max(rate, best)
    return min(rate, limit) if limit else rate


def _closed_loop(profile: Profile, task: str, lengths: WordLengths, level: int, seed: int) -> float:
    """Answers per second. A server so slow that requests run into their time-outs is played faster."""
    load = FitLoad("full", lengths, level, seconds=3600, items=max(_FULL_ITEMS, 4 * level), seed=seed)
    (seen,) = played(profile, [load], task, seed)
    faster = min(_FASTER_BY, SPEED_MAX / profile.speed) if seen.failed else 1.0
    if seen.failed:
        (seen,) = played(msgspec.structs.replace(profile, speed=profile.speed * faster), [load], task, seed)
    return (figures(seen.before_refusals()).rate or 0.0) / faster
