"""Schedules: computed ahead, hashed, the same for every strategy."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.client.errors import UsageError
from harness.load import schedule
from harness.load.schedule import BACKLOG, compute

POISSON = {"rate_per_s": 50.0}


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_equal_seeds_give_equal_schedules_and_other_seeds_other_ones(seed: int, other: int) -> None:
    first, again = (compute("poisson", POISSON, 1.0, None, seed) for _ in range(2))
    assert first == again
    assert (compute("poisson", POISSON, 1.0, None, other).sha256 == first.sha256) == (seed == other)


@pytest.mark.parametrize(
    "changed",
    [
        ("poisson", {"rate_per_s": 51.0}, 1.0, None, 7),
        ("constant", POISSON, 1.0, None, 7),
        ("poisson", POISSON, 2.0, None, 7),
        ("poisson", POISSON, 1.0, 10, 7),
        ("poisson", POISSON, 1.0, None, 8),
        (BACKLOG, {}, 1.0, None, 7),
        (BACKLOG, {}, 1.0, 10, 7),
    ],
)
def test_whatever_changes_the_load_changes_its_hash(changed: tuple[Any, ...]) -> None:
    assert compute(*changed).sha256 != compute("poisson", POISSON, 1.0, None, 7).sha256


def test_the_hash_covers_the_due_times_themselves() -> None:
    made = compute("poisson", POISSON, 1.0, None, 7)
    assert made.offsets is not None
    identity = b'["poisson", {"rate_per_s": 50.0}, null, 7]'
    assert made.sha256 == hashlib.sha256(identity + made.offsets.tobytes()).hexdigest()


def test_a_backlog_has_no_offsets_and_no_settings() -> None:
    made = compute(BACKLOG, {}, 1.0, 100, 1)
    assert made.offsets is None
    assert len(made) == 0
    with pytest.raises(UsageError, match="backlog has no settings; --items"):
        compute(BACKLOG, {"rate_per_s": 1.0}, 1.0, 100, 1)


def test_items_cut_the_arrivals_short() -> None:
    whole = compute("constant", {"rate_per_s": 10.0}, 5.0, None, 1)
    short = compute("constant", {"rate_per_s": 10.0}, 5.0, 7, 1)
    assert whole.offsets is not None
    assert short.offsets is not None
    assert len(whole) == 50
    assert list(short.offsets) == list(whole.offsets[:7])


def test_loads_are_the_backlog_and_every_pacer() -> None:
    assert set(schedule.kinds()) == {BACKLOG, "constant", "poisson", "ramp", "replay", "spike", "steps"}


def test_a_pacer_of_ones_own_is_named_by_module_and_class() -> None:
    made = compute("harness.load.pacers.constant:Constant", {"rate_per_s": 4.0}, 1.0, None, 1)
    assert len(made) == 4


@pytest.mark.parametrize(
    ("kind", "settings", "duration_s", "words"),
    [
        ("poison", {}, 1.0, "unknown load 'poison': did you mean poisson"),
        ("poisson", {"rate": 1.0}, 1.0, "load poisson: unknown setting 'rate': did you mean rate_per_s"),
        ("poisson", {"rate_per_s": 0.0}, 1.0, "load poisson: rate_per_s=0.0 must be above 0"),
        ("poisson", {"rate_per_s": 0.001}, 0.001, "load poisson: no arrival in 1 ms; raise --rate or --duration"),
    ],
)
def test_mistakes_are_answered_in_a_line(kind: str, settings: dict[str, Any], duration_s: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        compute(kind, settings, duration_s, None, 1)


def test_a_load_beyond_memory_is_refused_before_it_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "ARRIVALS_MAX", 1000)
    with pytest.raises(UsageError, match="more than 1,000 arrivals: lower --rate or --duration"):
        compute("poisson", {"rate_per_s": 1e9}, 1e6, None, 1)
