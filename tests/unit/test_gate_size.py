"""What the gate tells of an attempt's size: learnt from latencies, 1.0 until it is known to matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from statistics import fmean, pstdev

import pytest

from harness.client.gate.concurrency_limit import ConcurrencyLimit
from harness.client.gate.size import FIT_MIN, Sizes, work_of
from harness.client.tasks.annotate import Annotate
from harness.client.tasks.chat import Chat, Completion, Message, Usage
from harness.client.tasks.embed import Embed
from harness.client.tasks.similarity import Similarity
from harness.client.types import Item, Outcome, Request, Response, Sample
from tests.unit.layer_helpers import Server, ask, embed, virtually

CHAT, ANNOTATE, EMBED, SIMILARITY = Chat(), Annotate(), Embed(), Similarity()


def answered(*answers: object, chunks: tuple[float, ...] = ()) -> Response:
    return Response(Outcome.ok, 200, answers, 0.0, 0.5, 1.0, chunks=chunks)


def asked(text: str) -> Request:
    return CHAT.request((Item(0, (Message("user", text),), CHAT),))


def test_tokens_are_counted_by_the_server_or_estimated() -> None:
    assert work_of(asked("x"), answered(Completion("y", "stop", Usage(120, 30)))) == (120.0, 30.0)
    given, made = work_of(asked("x" * 400), answered(Completion("a" * 80)))
    assert (100 < given < 130, made) == (True, 20.0)
    assert work_of(ask("hi"), answered("ab", chunks=(0.1, 0.2, 0.3)))[1] == 3.0
    assert work_of(ask("hi"), answered("今天天气很好"))[1] == 6.0  # one each
    pair = SIMILARITY.request((Item(0, SIMILARITY.parse({"text1": "a" * 200, "text2": "b" * 200}), SIMILARITY),))
    assert work_of(pair, answered(0.5)) == (len(pair.body) / 4, 0.0)
    assert work_of(embed("a", "b"), answered([0.1] * 8, [0.2] * 8))[1] == 0.0
    wide = ask("今天天气很好" * 50)
    assert work_of(wide, answered("x"))[0] == pytest.approx(300, rel=0.1)
    assert work_of(pair, Response(Outcome.rejected)) == (len(pair.body) / 4, 0.0)


def relative_sizes(
    latency_s: Callable[[float, float], float], count: int = 4000, seed: int = 1
) -> list[tuple[float, float]]:
    """(latency, relative size) of attempts of random lengths, after a while to learn."""
    rng, sizes, seen = Random(seed), Sizes(), []
    for number in range(count):
        given, made = rng.uniform(10, 2000), rng.expovariate(1 / 120)
        took_s = latency_s(given, made) * rng.gammavariate(16, 1 / 16)  # and a quarter of noise
        size = sizes.relative((given, made), took_s)
        assert size > 0
        assert number >= FIT_MIN or size == 1.0
        if number > 1000:
            seen.append((took_s, size))
    return seen


def spread(values: list[float]) -> float:
    return pstdev(values) / fmean(values)


@pytest.mark.parametrize(
    "latency_s",
    [
        lambda given, made: 0.02 * made + 0.01,  # decoding
        lambda given, made: 0.02 * made + 0.0005 * given,  # and reading
        lambda given, made: 0.001 * given,  # embedding
        lambda given, made: 2.0 + 0.02 * made,  # queueing
    ],
)
def test_divided_by_its_size_a_latency_is_that_of_an_average_attempt(
    latency_s: Callable[[float, float], float],
) -> None:
    seen = relative_sizes(latency_s)
    raw, divided = [took for took, _ in seen], [took / size for took, size in seen]
    assert spread(divided) < 0.65 * spread(raw) or spread(divided) < 0.45
    assert fmean(divided) == pytest.approx(fmean(raw), rel=0.1)
    assert fmean(size for _, size in seen) == pytest.approx(1.0, abs=0.08)


def test_where_size_does_not_matter_nothing_is_changed() -> None:
    for seed in range(8):
        seen = relative_sizes(lambda given, made: 0.1, 3000, seed)
        assert fmean(size != 1.0 for _, size in seen) < 0.1
        assert spread([took / size for took, size in seen]) < 1.05 * spread([took for took, _ in seen])


def test_a_server_that_becomes_slower_for_all_is_seen_as_such() -> None:
    """Congestion is not taken for size, nor size for congestion."""
    rng, sizes, divided = Random(3), Sizes(), []
    for number in range(6000):
        made = rng.expovariate(1 / 120)
        took_s = (0.05 + 0.02 * made) * (3.0 if number >= 3000 else 1.0)
        divided.append(took_s / sizes.relative((100.0, made), took_s))
    assert fmean(divided[3000:3400]) / fmean(divided[2000:3000]) == pytest.approx(3.0, rel=0.15)
    assert fmean(divided[5000:]) / fmean(divided[2000:3000]) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize("wants", [True, False])
def test_a_limit_that_uses_sizes_gets_them(wants: bool) -> None:
    class Limit:
        value = 4
        uses_work = wants

        def __init__(self) -> None:
            self.samples: list[Sample] = []

        def update(self, sample: Sample, /) -> None:
            self.samples.append(sample)

    async def main() -> None:
        rng, limit = Random(1), Limit()
        lengths = [rng.randrange(80, 800) for _ in range(400)]
        server = Server(
            lambda n: 0.001 * lengths[n],
            lambda n: Outcome.rejected if n % 50 == 0 else Outcome.ok,
            lambda request: ("x" * 4 * lengths[request.items[0].index],),
        )
        gate = ConcurrencyLimit(server, limit)
        for number in range(400):
            await gate(ask("hello", number))
        late = limit.samples[200:]
        if not wants:
            assert {sample.work for sample in late} == {1.0}
            return
        assert {sample.work for sample in late if sample.outcome is not Outcome.ok} == {1.0}
        divided = [sample.latency_s / sample.work for sample in late if sample.outcome is Outcome.ok]
        assert max(divided) < 1.1 * min(divided)
        assert not math.isclose(late[1].work, 1.0)

    virtually(main())


def test_a_sample_is_made_by_position_as_before() -> None:
    sample = Sample(Outcome.ok, 1.0, 3.0, 4, 5, 6, None)
    assert (sample.work, sample.lag_s, sample.latency_s) == (1.0, 0.0, 2.0)
    assert Sample(Outcome.ok, 1.0, 3.0, 4, 5, 6, lag_s=0.5).latency_s == 1.5
