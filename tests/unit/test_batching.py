"""The batching policy: budget, conservation, order, starvation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.batching import BatchPolicy, BatchQueue


@dataclass(eq=False)
class Thing:
    tokens: int
    kind: str = "a"
    arrived: float = 0.0
    deadline: float = math.inf
    cancelled: bool = False


things = st.builds(
    Thing,
    tokens=st.integers(1, 300),
    kind=st.sampled_from(["a", "b"]),
    deadline=st.sampled_from([math.inf, math.inf, math.inf, 5.0]),
    cancelled=st.sampled_from([False, False, False, True]),
)
policies = st.builds(
    BatchPolicy,
    items_max=st.integers(1, 9),
    tokens_max=st.sampled_from([0, 64, 512, 4096]),
    pad_multiple=st.sampled_from([1, 16]),
    window_batches=st.integers(1, 4),
)


def queue_of(policy: BatchPolicy, items: list[Thing]) -> BatchQueue[Thing]:
    queue: BatchQueue[Thing] = BatchQueue(policy)
    for item in items:
        queue.push(item)
    return queue


def drained(queue: BatchQueue[Thing], now: float = 10.0) -> tuple[list[list[Thing]], list[Thing]]:
    batches, dropped = [], []
    while len(queue):
        batch, gone = queue.pop(now)
        dropped += gone
        if batch:
            batches.append(batch)
    return batches, dropped


@given(policies, st.lists(things, max_size=60))
def test_every_item_leaves_exactly_once_in_a_batch_or_dropped(policy: BatchPolicy, items: list[Thing]) -> None:
    batches, dropped = drained(queue_of(policy, items))
    left = [item for batch in batches for item in batch] + dropped
    assert sorted(map(id, left)) == sorted(map(id, items))


@given(policies, st.lists(things, max_size=60))
def test_only_dead_items_are_dropped_and_no_dead_item_is_computed(policy: BatchPolicy, items: list[Thing]) -> None:
    batches, dropped = drained(queue_of(policy, items))
    assert all(item.cancelled or item.deadline < 10 for item in dropped)
    assert not any(item.cancelled or item.deadline < 10 for batch in batches for item in batch)


@given(policies, st.lists(things, max_size=60))
def test_a_batch_keeps_the_budget_unless_one_item_alone_exceeds_it(policy: BatchPolicy, items: list[Thing]) -> None:
    for batch in drained(queue_of(policy, items))[0]:
        longest = max(policy.padded(item.tokens) for item in batch)
        assert len({item.kind for item in batch}) == 1
        assert len(batch) == 1 or policy.fits(len(batch), longest)
        assert len(batch) <= policy.items_max


@given(policies, st.lists(things, max_size=60))
def test_the_oldest_living_item_is_in_every_batch_so_nobody_starves(policy: BatchPolicy, items: list[Thing]) -> None:
    queue = queue_of(policy, items)
    waiting = [item for item in items if not (item.cancelled or item.deadline < 10)]
    while waiting:
        batch, _ = queue.pop(10.0)
        assert batch[0] is waiting[0]
        waiting = [item for item in waiting if item not in batch]


@given(policies, st.lists(things, min_size=1, max_size=30))
def test_a_pop_is_empty_only_if_nothing_alive_waits(policy: BatchPolicy, items: list[Thing]) -> None:
    queue = queue_of(policy, items)
    batch, _ = queue.pop(10.0)
    assert bool(batch) == any(not (item.cancelled or item.deadline < 10) for item in items)


def test_the_batch_is_filled_with_the_nearest_lengths_not_the_next_in_line() -> None:
    items = [Thing(20), Thing(200), Thing(210), Thing(22), Thing(18)]
    batch, _ = queue_of(BatchPolicy(items_max=3), items).pop(0.0)
    assert [item.tokens for item in batch] == [20, 22, 18]


def test_what_was_not_taken_stays_in_order_of_arrival() -> None:
    items = [Thing(20), Thing(200), Thing(20), Thing(210), Thing(205)]
    queue = queue_of(BatchPolicy(items_max=2), items)
    assert queue.pop(0.0)[0] == [items[0], items[2]]
    assert queue.pop(0.0)[0] == [items[1], items[4]]
    assert queue.pop(0.0)[0] == [items[3]]


def test_mixed_lengths_cost_fewer_padded_tokens_than_batches_in_order_of_arrival() -> None:
    lengths = [8, 250, 16, 128, 30, 240, 10, 130, 12, 245, 28, 126] * 4
    batches, _ = drained(queue_of(BatchPolicy(items_max=4), [Thing(tokens) for tokens in lengths]))
    ours = sum(len(batch) * max(item.tokens for item in batch) for batch in batches)
    fifo = sum(4 * max(lengths[i : i + 4]) for i in range(0, len(lengths), 4))
    assert len(batches) == 12
    assert ours < 0.7 * fifo


@pytest.mark.parametrize("field", ["items_max", "pad_multiple", "window_batches"])
def test_a_bound_below_one_is_refused_by_name(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} = 0: must be an integer >= 1"):
        BatchPolicy(**{field: 0})
    with pytest.raises(ValueError, match="tokens_max = -1"):
        BatchPolicy(tokens_max=-1)
