"""The coordinator's state machine: one holder a range, older epochs are fenced, every range is done once."""

from __future__ import annotations

import pytest

from harness.bulk.leases.held import Held
from harness.bulk.leases.leases import Finished, Leases
from harness.bulk.leases.range import WHOLE, Range
from tests.bulk.leases.looks import held, ready


def three() -> Leases:
    """Three ranges, all cut."""
    leases = Leases(ttl_s=10.0)
    for number in range(3):
        leases.add(Range(number, number * 100, number * 100 + 100, number * 10 + 1, 10))
    leases.closed = True
    return leases


def test_ranges_are_leased_in_order_to_one_worker_each() -> None:
    """A free range is never the one that another worker holds."""
    leases = three()
    given = [leases.grant(name, 0.0) for name in ("a", "b", "a", "b")]
    assert [(lease.range.number, lease.epoch, lease.worker) if lease else None for lease in given] == [
        (0, 1, "a"),
        (1, 1, "b"),
        (2, 1, "a"),
        None,
    ]
    assert leases.ahead == 0


def test_a_lease_that_is_not_renewed_goes_to_another_worker_under_a_new_epoch() -> None:
    """The first holder cannot finish it any more, nor renew it."""
    leases = three()
    leases.grant("a", 0.0)
    assert leases.renew("a", 0, 1, 9.0)
    assert leases.grant("b", 18.9).range.number == 1  # type: ignore[union-attr] # it is there
    again = leases.grant("b", 19.1)
    assert again is not None
    assert (again.range.number, again.epoch) == (0, 2)
    assert not leases.renew("a", 0, 1, 19.2)
    assert not leases.done("a", Finished(0, 1), 19.2)
    assert leases.done("b", Finished(0, 2), 19.2)


def test_a_repeated_report_of_the_accepted_epoch_is_accepted_again() -> None:
    """The answer to the first one may have been lost; other content is refused."""
    leases = three()
    leases.grant("a", 0.0)
    assert leases.done("a", Finished(0, 1, 50, 7), 1.0)
    assert leases.done("a", Finished(0, 1, 50, 7), 2.0)
    assert not leases.done("a", Finished(0, 1, 50, 8), 2.0)


def test_leases_of_a_dead_worker_end_at_once() -> None:
    """Nobody waits for the time to live of a worker that is known to be gone."""
    leases = three()
    leases.grant("a", 0.0)
    leases.grant("b", 0.0)
    assert [lease.range.number for lease in leases.lost("a")] == [0]
    assert leases.lost("a") == []
    assert held(leases) == [(1, "b")]
    again = leases.grant("c", 0.1)
    assert again is not None
    assert (again.range.number, again.epoch) == (0, 2)


def test_parts_are_joined_in_the_order_of_the_input() -> None:
    """A range that is done early waits for those before it, and is forgotten once it is joined."""
    leases = three()
    for _ in range(3):
        leases.grant("a", 0.0)
    assert leases.done("a", Finished(1, 1), 1.0)
    assert ready(leases) is None
    assert leases.done("a", Finished(0, 1), 1.0)
    joined = []
    while (found := ready(leases)) is not None:
        joined.append(found[0].number)
        leases.join()
    assert joined == [0, 1]
    assert not leases.complete
    assert leases.done("a", Finished(2, 1), 1.0)
    assert leases.all_done
    leases.join()
    assert leases.complete
    assert list(leases.unjoined()) == []


def test_a_range_is_not_joined_before_it_is_done_and_ranges_are_cut_in_order() -> None:
    """Mistakes of the caller are errors, not lost lines."""
    leases = three()
    with pytest.raises(ValueError, match="before it is done"):
        leases.join()
    with pytest.raises(ValueError, match="range 7 follows range 2"):
        leases.add(Range(7, 0, 1))


def test_a_later_session_goes_on_with_new_epochs() -> None:
    """What was done stays done; the epochs of open leases are used up."""
    leases = Leases(10.0)
    leases.skip_to(5)
    for number in (5, 6):
        leases.add(Range(number, 0, 10))
    leases.restore(5, 3, until=-1.0)
    leases.restore_done(Finished(6, 2, 9, 9))
    leases.restore(4, 9)
    assert leases.grant("a", -2.0) is None, "its worker may be alive"
    lease = leases.grant("a", 0.0)
    assert lease is not None
    assert (lease.range.number, lease.epoch) == (5, 4)
    assert leases.grant("a", 0.0) is None


def test_a_lease_that_is_given_back_is_free_at_once() -> None:
    """Only its holder can give it back."""
    leases = three()
    leases.grant("a", 0.0)
    assert not leases.give_back("b", 0, 1)
    assert held(leases) == [(0, "a")]
    assert leases.give_back("a", 0, 1)
    again = leases.grant("b", 0.0)
    assert again is not None
    assert (again.range.number, again.epoch) == (0, 2)


def test_a_worker_counts_its_lease_from_the_message_and_not_from_the_answer() -> None:
    """So it stops before the coordinator, which counts from the arrival of the message."""
    held = Held(10.0)
    assert held.over(0.0)
    held.sent(100.0)
    assert held.over(100.0)
    held.answered()
    assert not held.over(109.0)
    assert held.over(109.1)
    held.answered()
    assert held.over(109.1), "an answer without a message renews nothing"


def test_a_range_names_its_lines() -> None:
    """A whole file has no known end."""
    assert Range(0, 0, 50, line=11, lines=5).last_line == 15
    assert Range(0, 0, WHOLE).is_whole
    assert Range(0, 0, WHOLE, line=3).last_line == 3
