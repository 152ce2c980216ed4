"""The loads of a verification are at the shares of the capacity that they name."""

from __future__ import annotations

import pytest

from harness.fitting import verify_loads
from harness.fitting.fit_loads import WordLengths
from harness.fitting.verify_loads import RATE_MAX, VerifyLoads, capacity, loads_of
from mock_server.profile import Capacity, Limits, Profile, Service

MIXED = WordLengths("lognormal", 6, 230, 37.0)


def limited(base_s: float, workers: int = 0, **limits: float) -> Profile:
    return Profile(service=Service(base_s=base_s), capacity=Capacity(workers=workers), limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (limited(0.5, rate_per_s=100.0, burst=1), 100.0),
        (limited(0.5, rate_per_s=400.0, burst=1), 400.0),
        (limited(0.05, 1, rate_per_s=100.0, burst=2), 20.0),
        (limited(0.02, 2), 100.0),
        # Three at once, of half a second each.
        (limited(0.5, in_flight=3, rate_per_s=100.0, burst=1), 6.0),
        (limited(10.0, 1), 0.1),
    ],
    ids=["rate", "rate with many in flight", "workers below the rate", "workers", "in flight", "slow"],
)
def test_the_capacity_is_the_least_of_workers_bounds_and_rate(profile: Profile, expected: float) -> None:
    assert capacity(profile, "similarity", MIXED, 7) == pytest.approx(expected, rel=0.01)


def planned(of: float, monkeypatch: pytest.MonkeyPatch, near: bool = False) -> VerifyLoads:
    """The loads of a profile with this capacity."""
    monkeypatch.setattr(verify_loads, "capacity", lambda profile, task, lengths, seed: of)
    return loads_of(Profile(), "similarity", (6, 230), 15.0, 7, near)


@pytest.mark.parametrize("of", [0.1, 0.5, 100.0, 2400.0, 6000.0, 50_000.0])
def test_every_load_arrives_at_the_share_that_it_names(of: float, monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(of, monkeypatch)
    assert found.impossible is None
    rates = [one.load.rate_per_s for one in found.loads]
    assert max(rates) <= RATE_MAX
    for one in found.loads:
        if one.share is not None:
            assert one.load.rate_per_s / of == pytest.approx(one.share, rel=1e-3)
            if one.decisive:
                assert float(one.load.name.removeprefix("Poisson at ")) == pytest.approx(one.share, rel=0.01)
    assert len(found.decisive) == len(set(rates[:3])) == 3


def test_a_load_that_would_last_for_hours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned(0.01, monkeypatch).impossible == (
        "its capacity is 0.01/s, so the first requests of the load 'Poisson at 0.3' take 55 min 33 s to arrive; at "
        "most 10 min are allowed"
    )
    assert planned(0.0, monkeypatch).impossible == "its mock answers no request"


def test_a_slow_server_gets_ten_arrivals_and_the_time_that_is_said_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(0.1, monkeypatch)
    assert found.loads[0].load.lasts_s == pytest.approx(10 / 0.03)
    assert found.seconds == pytest.approx(4 * 10 * (1 / 0.03 + 1 / 0.06 + 1 / 0.08 + 1 / 0.05 + 1 / 0.03))


def test_loads_that_are_far_from_the_capacity_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert planned(2500.0, monkeypatch).caveat == ""
    assert planned(50_000.0, monkeypatch).caveat == (
        "; the loads were at most 4 % of its capacity of 50,000/s, because none arrives faster than 2,000/s"
    )


def test_a_load_near_the_capacity_is_played_if_asked_for_and_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one.share for one in planned(100.0, monkeypatch).loads if one.share == 0.95] == []
    (near,) = [one for one in planned(100.0, monkeypatch, near=True).loads if one.share == 0.95]
    assert (near.load.name, near.load.rate_per_s, near.load.seconds, near.decisive) == (
        "Poisson at 0.95",
        95.0,
        45.0,
        False,
    )
    assert all(one.share != 0.95 for one in planned(5000.0, monkeypatch, near=True).loads)
