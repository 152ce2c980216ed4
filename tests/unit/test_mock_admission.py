"""Admission: reserved before work, refused with the time the backlog really needs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.engines.settings import EngineError
from model_server.errors import ApiError
from model_server.main import BatchBounds
from model_server.scheduling.admission import Admission, AdmissionLimits, DrainRate
from model_server.scheduling.batching import BatchPolicy
from tests.server_helpers import app_of


def admission(**limits: float) -> Admission:
    return Admission(AdmissionLimits(**limits), DrainRate())  # type: ignore[arg-type] # ints among floats


def test_the_queue_is_bounded_in_items_beyond_what_starts_at_once() -> None:
    book = admission(items_max=2)
    book.reserve(1, startable=1, workers=1)
    book.release(1, 0)
    book.reserve(2, startable=0, workers=1)
    with pytest.raises(ApiError, match=r"the queue is full \(2 of 2 items\)"):
        book.reserve(1, startable=0, workers=1)


def test_the_queue_is_bounded_in_tokens() -> None:
    book = admission(tokens_max=100)
    book.reserve(1, 0, 1)
    book.add_tokens(150, 1)
    with pytest.raises(ApiError, match="150 of 100 tokens"):
        book.reserve(1, 0, 1)
    book.release(1, 150)
    book.reserve(1, 0, 1)


def test_the_queue_is_bounded_in_predicted_wait() -> None:
    book = admission(wait_max_s=1.0)
    book.rate.add(1, 0.5)
    book.reserve(2, 0, 1)
    with pytest.raises(ApiError, match=r"the wait would be 1.5 s, over 1 s"):
        book.reserve(1, 0, 1)


def test_retry_after_is_the_backlog_over_the_measured_rate() -> None:
    book = admission(items_max=30)
    book.rate.add(4, 0.2)
    book.reserve(30, 0, 2)
    with pytest.raises(ApiError) as caught:
        book.reserve(1, 0, 2)
    assert caught.value.retry_after_s == pytest.approx(30 * 0.05 / 2)
    assert dict(caught.value.headers()) == {b"retry-after": b"1", b"retry-after-ms": b"750"}


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), max_size=40))
def test_what_is_reserved_never_exceeds_the_bound_and_a_refusal_reserves_nothing(steps: list[tuple[int, int]]) -> None:
    book, held = admission(items_max=10), 0
    for items, released in steps:
        try:
            book.reserve(items, 0, 1)
            held += items
        except ApiError:
            assert held + items > 10
        give_back = min(released, held)
        book.release(give_back, 0)
        held -= give_back
        assert book.waiting == held <= 10


def test_the_rate_follows_what_batches_take_now() -> None:
    rate = DrainRate()
    assert rate.wait_s(10, 1) == 0
    rate.add(1, 1.0)
    for _ in range(100):
        rate.add(1, 0.1)
    assert rate.wait_s(10, 1) == pytest.approx(1.0, rel=0.01)


def test_limits_are_named_when_they_are_wrong() -> None:
    with pytest.raises(ValueError, match="items_max = -1"):
        AdmissionLimits(items_max=-1)
    with pytest.raises(ValueError, match="wait_max_s"):
        AdmissionLimits(wait_max_s=math.nan)


def test_both_servers_take_the_same_settings_of_batches_and_queue(tmp_path: Path) -> None:
    app = app_of(
        tmp_path,
        "speed = 2\n[capacity]\nbatch_max_items = 8\nbatch_max_tokens = 512\nbatch_linger_s = 0.02\n"
        "batch_overhead_tokens = 40\nqueue_max = 9\nqueue_max_tokens = 900\nqueue_wait_max_s = 3\n",
    )
    assert app.dispatcher.policy == BatchPolicy(8, 512, 16, linger_s=0.01, overhead_tokens=40)
    assert app.dispatcher.admission.limits == AdmissionLimits(9, 900, 1.5)
    bounds = BatchBounds(8, 512, 9, 900, 1.5, 0.01)
    assert bounds.policy() == BatchPolicy(8, 512, 16, linger_s=0.01)  # the overhead is measured while warming
    assert bounds.admission() == app.dispatcher.admission.limits
    assert BatchBounds().admission().wait_max_s == math.inf
    for name in ("queue_tokens", "queue_wait_s", "linger_s"):
        with pytest.raises(EngineError, match=f"batch {name} = -1: must be a number >= 0"):
            BatchBounds(**{name: -1})


def test_tokens_are_bounded_strictly_but_a_lone_giant_may_wait() -> None:
    book = admission(tokens_max=100)
    book.reserve(1, 0, 1)
    book.add_tokens(150, 1)  # nothing else waits
    book.release(1, 150)
    book.reserve(1, 0, 1)
    book.add_tokens(60, 1)
    book.reserve(1, 0, 1)
    with pytest.raises(ApiError, match="60 of 100 tokens, and the request has 41") as caught:
        book.add_tokens(41, 1)
    assert caught.value.retry_after_s == 1.0  # nothing is known of the rate yet
    book.add_tokens(40, 1)
    assert book.tokens == 100
