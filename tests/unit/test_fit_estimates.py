"""What the records of a client determine of a server, and what they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.fitting.bench import Batch
from harness.fitting.calibration import Calibration, CalibrationPlan
from harness.fitting.estimates import fits
from harness.fitting.fitted_parameters import Estimate, Fit, KnownParameters, NotFitted
from harness.fitting.request_shapes import Shape
from harness.fitting.white_box import filled, overheads, running_items, waited
from tests.unit.test_fitting_parts import seen, streamed


def estimate(found: Fit, name: str) -> Estimate:
    return next(one for one in found.estimates if one.name == name)


def streams(known: KnownParameters | None = None) -> Fit:
    """40 sequences one after another, and 40 at once, of which none waits."""
    burst = streamed(2)
    moved = replace(burst, concurrency=64, sent=burst.sent * 0, first=burst.first - burst.sent, done=burst.latency)
    return fits(Calibration(CalibrationPlan(), idle=streamed(2), burst=moved), 0.001, known)[0]


def test_slots_for_which_no_sequence_waited_are_a_bound_from_below() -> None:
    found = streams()
    assert found.streams is not None
    assert found.streams.slots == 0
    assert estimate(found, "running_max").note == "bounded below: 40 sequences ran at once, and none waited"


def test_known_workers_are_the_slots_of_a_language_model() -> None:
    found = streams(KnownParameters(workers=48))
    assert found.streams is not None
    assert found.streams.slots == 48
    assert estimate(found, "running_max").determined


def test_known_batches_that_the_records_do_not_show_are_one_line() -> None:
    burst = seen([0.0] * 10, [0.01 * (place + 1) for place in range(10)])
    lone = seen([place * 0.1 for place in range(10)], [place * 0.1 + 0.01 for place in range(10)], concurrency=1)
    with pytest.raises(NotFitted, match=r"no batches of up to 8 items where --workers is 1: leave out --batch-items"):
        fits(Calibration(CalibrationPlan(), idle=lone, burst=burst), 0.0, KnownParameters(1, 8))


def test_squares_of_the_length_are_found_without_a_report_of_batches() -> None:
    lengths = [8, 16, 32, 64, 128, 256] * 10
    took = [0.005 + 1e-4 * length + 1e-6 * length**2 for length in lengths]
    lone = seen([place * 1.0 for place in range(60)], [place + s for place, s in enumerate(took)], concurrency=1)
    burst = seen([0.0] * 60, np.cumsum(took).tolist(), concurrency=64)
    shapes = tuple(Shape("similarity", (length,)) for length in lengths)
    calibration = Calibration(CalibrationPlan(), idle=replace(lone, shapes=shapes), burst=replace(burst, shapes=shapes))
    found = fits(calibration, 0.0)[0]
    assert found.law is not None
    assert found.structure.workers == 1
    assert found.law.values["per_square_s"] == pytest.approx(1e-6, rel=0.01)
    assert found.law.values["per_token_s"] == pytest.approx(1e-4, rel=0.01)


def log(queued: int | None) -> list[Batch]:
    """20 batches at once, three times."""
    return [Batch(turn * 1.0, 1, 16, 10, 0.1, queued) for turn in range(3) for _ in range(20)]


@pytest.mark.parametrize(("queued", "workers"), [(0, 0), (3, 20), (None, 20)])
def test_workers_are_bounded_only_if_something_waited_for_them(queued: int | None, workers: int) -> None:
    lone = seen([place * 1.0 for place in range(20)], [place + 0.11 for place in range(20)], concurrency=1)
    idle = [Batch(100.0 + place, 1, 16, 10, 0.1, 0) for place in range(20)]
    calibration = Calibration(
        CalibrationPlan(), idle=lone, burst=seen([0.0] * 20, [0.11] * 20), batches={"load": idle, "burst": log(queued)}
    )
    (found,) = fits(calibration, 0.0)
    assert found.structure.workers == workers
    assert estimate(found, "workers").determined is bool(workers)


def test_items_that_linger_do_not_wait_for_a_worker() -> None:
    """With a linger time items are there at the end of a batch: for a worker wait those whose batch starts at once."""
    lingering = [Batch(k * 0.1, 4, 16, 40, 0.1 - 0.003, 2) for k in range(20)]
    busy = [Batch(k * 0.1, 4, 16, 40, 0.1, 2) for k in range(20)]
    assert not waited([lingering], 0.004)
    assert waited([lingering, busy], 0.004)
    assert waited([lingering], 0.0)


def test_batches_while_others_wait() -> None:
    batches = [Batch(0.0, 8, 16, 80, 0.3, 5), Batch(0.3, 4, 16, 40, 0.1, 1), Batch(0.4, 1, 16, 10, 9.0, 0)]
    assert running_items(batches) == pytest.approx(7.0)
    assert running_items(batches[2:]) is None
    assert not filled(batches, 8)
    assert filled([*batches, batches[0]], 8)


def test_a_request_of_several_batches_has_one_overhead_also_if_the_log_is_full() -> None:
    """Four batches of 10 ms one after another, or two and two at once; the server remembers 1024 of 1200."""
    starts = [place * 1.0 for place in range(300)]
    idle = replace(
        seen(starts, [at + 0.045 for at in starts], concurrency=1), shapes=(Shape("similarity", (10,) * 4),) * 300
    )
    in_turn = [Batch(at + 0.01 * k, 1, 16, 10, 0.01) for at in starts for k in range(4)]
    assert overheads(idle, in_turn[-1024:]) == pytest.approx(np.full(256, 0.005))
    in_pairs = [Batch(at + 0.02 * (k // 2), 1, 16, 10, 0.02) for at in starts for k in range(4)]
    assert overheads(idle, in_pairs[-1024:]) == pytest.approx(np.full(256, 0.005))
