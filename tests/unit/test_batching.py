"""The batching policy: budget, conservation, order, starvation."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_server.scheduling.batching import BatchPolicy, BatchQueue


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
    overhead_tokens=st.sampled_from([0.0, 20.0, 500.0]),
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


@given(policies, st.lists(things, max_size=40), st.sets(st.integers(0, 39)))
def test_what_is_taken_out_is_gone_and_the_rest_leaves_once(
    policy: BatchPolicy, items: list[Thing], taken: set[int]
) -> None:
    queue = queue_of(policy, items)
    out = [items[place] for place in sorted(taken) if place < len(items)]
    assert [queue.discard(item) for item in out] == [True] * len(out)
    assert not any(queue.waits(item) or queue.discard(item) for item in out)
    assert len(queue) == len(items) - len(out)
    batches, dropped = drained(queue)
    left = [item for batch in batches for item in batch] + dropped
    assert sorted(map(id, [*left, *out])) == sorted(map(id, items))


@given(policies, st.lists(things, max_size=60), st.integers(0, 59))
def test_with_k_before_it_an_item_leaves_in_at_most_k_plus_one_batches(
    policy: BatchPolicy, items: list[Thing], place: int
) -> None:
    alive = [item for item in items if not (item.cancelled or item.deadline < 10)]
    if place < len(alive):
        queue = queue_of(policy, items)
        pops = 1
        while alive[place] not in queue.pop(10.0)[0]:
            pops += 1
        assert pops <= place + 1


def cost(batches: list[list[Thing]], policy: BatchPolicy) -> float:
    padded = sum(len(batch) * max(policy.padded(item.tokens) for item in batch) for batch in batches)
    return padded + len(batches) * policy.overhead_tokens


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=8),
    st.integers(1, 5),
    st.sampled_from([0, 128, 512]),
    st.sampled_from([1.0, 12.0, 42.5, 600.0]),
)
def test_a_known_overhead_splits_what_waits_at_the_least_cost_there_is(
    lengths: list[int], items_max: int, tokens_max: int, overhead: float
) -> None:
    policy = BatchPolicy(items_max, tokens_max, 16, overhead_tokens=overhead)
    rising = sorted(policy.padded(tokens) for tokens in lengths)

    def least(end: int) -> float:
        """By trying every split of neighbours."""
        return min(
            (
                least(begin) + overhead + (end - begin) * rising[end - 1]
                for begin in range(end)
                if end - begin == 1 or policy.fits(end - begin, rising[end - 1])
            ),
            default=0.0,
        )

    batches, _ = drained(queue_of(policy, [Thing(tokens) for tokens in lengths]))
    assert cost(batches, policy) == pytest.approx(least(len(rising)))


def served_per_cost(policy: BatchPolicy, in_flight: int, overhead: float) -> float:
    """Items a unit of cost when so many wait all the time, lengths lognormal in 8..256."""
    rng, waiting, served, spent = Random(3), 0, 0, 0.0
    queue: BatchQueue[Thing] = BatchQueue(policy)
    while served < 1500:
        while waiting < in_flight:
            queue.push(Thing(min(256, max(8, round(rng.lognormvariate(3.8, 0.8))))))
            waiting += 1
        batch, _ = queue.pop(0.0)
        waiting -= len(batch)
        served += len(batch)
        spent += overhead + len(batch) * max(policy.padded(item.tokens) for item in batch)
    return served / spent


@pytest.mark.parametrize(("overhead", "gain"), [(12.0, 2.0), (42.0, 1.9), (150.0, 1.6)])
def test_a_known_overhead_serves_mixed_lengths_faster_than_filling_up(overhead: float, gain: float) -> None:
    plain = served_per_cost(BatchPolicy(16, 0, 16), 16, overhead)
    aware = served_per_cost(BatchPolicy(16, 0, 16, overhead_tokens=overhead), 16, overhead)
    assert aware > gain * plain


def test_a_lone_item_never_lingers_unless_asked_and_then_only_from_its_arrival_on() -> None:
    assert queue_of(BatchPolicy(4), []).ready_at() == math.inf
    assert queue_of(BatchPolicy(4), [Thing(5, arrived=7.0)]).ready_at() == -math.inf
    queue = queue_of(BatchPolicy(4, linger_s=0.5), [Thing(5, arrived=7.0), Thing(5, "b", arrived=7.3)])
    assert queue.ready_at() == 7.5
    queue.pop(7.5)
    assert queue.ready_at() == pytest.approx(7.8)


def test_a_full_batch_does_not_linger_in_items_or_in_tokens() -> None:
    policy = BatchPolicy(3, 100, linger_s=9.0)
    assert queue_of(policy, [Thing(5)] + [Thing(5, "b") for _ in range(2)]).ready_at() == 9.0
    assert queue_of(policy, [Thing(5)] + [Thing(5, "b") for _ in range(3)]).ready_at() == -math.inf
    assert queue_of(policy, [Thing(30), Thing(40)]).ready_at() == -math.inf  # a third one would not fit


@given(policies, st.lists(things, min_size=1, max_size=30), st.floats(0.001, 10))
def test_lingering_never_outlasts_the_oldest_by_more_than_the_setting(
    policy: BatchPolicy, items: list[Thing], linger_s: float
) -> None:
    queue = queue_of(dataclasses.replace(policy, linger_s=linger_s), items)
    assert queue.ready_at() <= min(item.arrived for item in items) + linger_s


@pytest.mark.parametrize("name", ["linger_s", "overhead_tokens"])
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_times_and_costs_must_be_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} = .*: must be a finite number >= 0"):
        BatchPolicy(**{name: value})  # type: ignore[arg-type] # one of two floats
