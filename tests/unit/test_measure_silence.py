"""A server that stopped answering is distinguished from one that fails, is slow, or is only cut at the end of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.client.types import Outcome
from harness.measure.reduce.columns import Repeat
from harness.measure.reduce.silence import Silence, silence
from tests.measure_samples import MS, fail, request_rows

ATTEMPTS = np.zeros(0)


def found(rows: np.ndarray[Any, Any]) -> Silence | None:
    """The silence of a repeat with these rows."""
    return silence(Repeat(0, rows, ATTEMPTS, []))


def ending(outcome: Outcome, last: int = 40) -> np.ndarray[Any, Any]:
    """100 requests of a backlog, of which the last end like this."""
    rows = request_rows(100)
    fail(rows[-last:], outcome)
    return rows


@pytest.mark.parametrize(
    ("outcome", "refused"),
    [(Outcome.connection_error, True), (Outcome.timed_out, False), (Outcome.unfinished, False)],
)
def test_an_end_without_an_answer_is_a_silence(outcome: Outcome, refused: bool) -> None:
    """From the last success on. Only refused connections show that nobody is there."""
    assert found(ending(outcome)) == Silence(0.15, 40, refused)


def test_a_few_failures_at_the_end_are_none() -> None:
    """Nine of a hundred may be chance, and so may be ten of two thousand."""
    assert found(ending(Outcome.connection_error, last=9)) is None
    assert found(request_rows(100)) is None
    many = request_rows(2000)
    fail(many[-12:], Outcome.connection_error)
    assert found(many) is None


def test_without_any_answer_before_it_there_is_no_silence() -> None:
    """That is a run without a success."""
    assert found(fail(request_rows(100), Outcome.connection_error)) is None


def test_other_failures_are_answers() -> None:
    """A server that refuses or breaks is there."""
    rows = ending(Outcome.connection_error)
    fail(rows[-3:], Outcome.rejected, 429)
    assert found(rows) is None


def test_items_of_the_clients_own_end_are_left_out() -> None:
    """What was never sent says nothing about the server."""
    rows = ending(Outcome.connection_error)
    fail(rows[-3:], Outcome.not_sent)
    assert found(rows) == Silence(0.15, 37, refused=True)


def test_a_slow_server_that_was_cut_is_not_silent() -> None:
    """Its last pause is no longer than its others: it might have answered."""
    rows = request_rows(100, service_ms=100, slots=1)
    fail(rows[-20:], Outcome.unfinished)
    rows["done"][-20:] = rows["done"][79] + 150 * MS
    assert found(rows) is None
