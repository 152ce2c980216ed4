"""A load whose rate changes is judged step against step."""

from __future__ import annotations

import heapq
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from harness.load.pacers.constant import Constant
from harness.load.pacers.ramp import Ramp
from harness.load.pacers.spike import Spike
from harness.load.pacers.steps import Steps
from harness.measure.judge import steps as module
from harness.measure.record.rows_file import REQUEST_DTYPE
from harness.measure.result import Load
from tests.measure_samples import MS, request_rows
from tests.unit.test_measure_diagnosis import Played, limits, run

SECONDS = 40.0
ALONE = Played("sync", request_rows(100, service_ms=50, slots=1))


def rows_of(pacer: Any, *, workers: int, service_ms: float = 50, slots: int | None = None) -> np.ndarray[Any, Any]:
    """Arrivals at a server with so many workers; `slots` is what the strategy keeps in flight, None is all of it."""
    dues = [round(due * 1e9) for due in pacer.arrivals(SECONDS, Random(7))]
    rows = np.zeros(len(dues), REQUEST_DTYPE)
    free, open_slots = [0] * workers, [0] * (slots or len(dues))
    for place, (row, due) in enumerate(zip(rows, dues, strict=True)):
        sent = max(due, heapq.heappop(open_slots))
        done = max(sent, heapq.heappop(free)) + round(service_ms * MS)
        heapq.heappush(free, done)
        heapq.heappush(open_slots, done)
        row["index"], row["due"], row["fired"] = place, due, due
        row["first_sent"], row["sent"], row["first_byte"], row["last_chunk"], row["done"] = sent, sent, done, -1, done
        row["status"], row["attempts"] = 200, 1
    return rows


def played(pacer: Any, name: str = "queue", *, settings: dict[str, Any] | None = None, **server: Any) -> Played:
    """A case under this load; by default with settings as a run has them, which names only what was asked for."""
    return Played(name, rows_of(pacer, **server), Load(type(pacer).__name__.lower(), settings or {}, None, SECONDS))


STAIRCASE = Steps(10.0, (1.0, 2.0, 4.0, 8.0))
"""10, 20, 40 and 80/s, 10 s each."""


@pytest.mark.parametrize("others", [(), (ALONE,)])
def test_a_staircase_that_saturates_in_its_last_step_is_the_servers_doing(
    others: tuple[Played, ...], tmp_path: Path
) -> None:
    """A server of 70/s drains the 100 that are left in 1.4 s: little of 40 s, and much of the last step."""
    result = run(tmp_path, played(STAIRCASE, workers=4, service_ms=4 / 70 * 1000), *others)
    found = result.cases[0].diagnosis
    assert found.limited_by == "server"
    assert "It kept up with" in found.text
    assert "(30 to 40 s) the queue grew by" in found.text
    assert "no queue was left" not in found.text


def test_a_staircase_that_saturates_the_strategy_leaves_the_server_with_room(tmp_path: Path) -> None:
    """Three in flight at 50 ms give 60/s; the server has 100 workers."""
    found = run(tmp_path, played(STAIRCASE, workers=100, slots=3), ALONE).cases[0].diagnosis
    assert found.limited_by == "strategy"
    assert "(30 to 40 s) the queue grew by" in found.text
    assert "the strategy's 3 in flight were the limit" in found.text


@pytest.mark.parametrize("pacer", [STAIRCASE, Spike(20.0, 4.0), Ramp(10.0, 5.0), Constant(40.0)])
def test_what_every_step_is_answered_in_time_is_the_loads_doing(pacer: Any, tmp_path: Path) -> None:
    """A server of 100/s, also where each answer takes long: what is in flight is no queue."""
    quick, long = played(pacer, workers=5), played(pacer, "long", workers=200, service_ms=2000)
    assert limits(run(tmp_path, quick, long)) == {"queue": "load", "long": "load"}


@pytest.mark.parametrize(
    ("pacer", "says"), [(Spike(20.0, 4.0), "At 8"), (Ramp(10.0, 7.0), "It kept up with 1"), (STAIRCASE, "It kept up")]
)
def test_other_loads_whose_rate_changes_are_judged_in_the_same_way(pacer: Any, says: str, tmp_path: Path) -> None:
    """A spike is over and its queue is gone when the load ends; a ramp ends at its highest rate."""
    found = run(tmp_path, played(pacer, workers=3, service_ms=50)).cases[0].diagnosis
    assert found.limited_by == "server"
    assert says in found.text


def test_the_default_settings_are_those_of_the_loads() -> None:
    """A result holds only settings that were given."""
    assert len(Steps().factors) == module.STEPS_DEFAULT
    assert (Spike().start_share, Spike().width_share) == module.SPIKE_DEFAULT


def test_settings_that_were_given_are_used(tmp_path: Path) -> None:
    """Two steps of 20 s; a spike at the very end."""
    two = played(Steps(20.0, (1.0, 4.0)), workers=3, settings={"factors": [1.0, 4.0]})
    late = played(Spike(20.0, 4.0, 0.75, 0.25), "late", workers=3, settings={"start_share": 0.75, "width_share": 0.25})
    texts = [case.diagnosis.text for case in run(tmp_path, two, late).cases]
    assert "(20 to 40 s) the queue grew by" in texts[0]
    assert "(30 to 40 s) the queue grew by" in texts[1]
