"""What each layer counts, with figures worked out by hand, and what it says when its file fails."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
from pathlib import Path

import pytest

from harness.client.cache import store
from harness.client.cache.store import AnswerStore, check_file
from harness.client.errors import UsageError
from harness.client.figures import counts_of
from harness.client.hooks import HedgeDetails
from harness.client.layers._budget import RetryBudget
from harness.client.layers.cache import Cache
from harness.client.layers.chunk import Chunk
from harness.client.layers.coalesce import Coalesce
from harness.client.layers.deadline import Deadline
from harness.client.layers.hedge import Hedge
from harness.client.layers.rate_limit import RateLimit
from harness.client.layers.retry import Retry
from harness.client.layers.semantic_cache import SemanticCache
from harness.client.types import Outcome, Request, Send
from harness.measure.reduce.layer_figures import figures
from tests.unit.layer_helpers import Server, ask, embed, virtually


def one_by_one(send: Send, *requests: Request) -> None:
    async def main() -> None:
        for request in requests:
            await send(request)

    virtually(main())


def at_once(send: Send, *requests: Request) -> None:
    async def main() -> None:
        await asyncio.gather(*(send(request) for request in requests))

    virtually(main())


def failing(*numbers: int, outcome: Outcome = Outcome.server_error) -> Server:
    return Server(becomes=lambda n: outcome if n in numbers else Outcome.ok)


def ratios(layer: object) -> dict[str, float | None]:
    return figures(counts_of([("layer", layer)]))[0].ratios


def test_a_cache_counts_items() -> None:
    """a and b miss; then a hits and c misses in one request; a failure is not kept."""
    cache = Cache(failing(2))
    one_by_one(cache, embed("a", "b"), embed("a"), ask("x"), ask("failed"), ask("x"))
    assert cache.figures() == {"hits": 2, "misses": 4, "stored": 3}
    assert ratios(cache) == {"hit_share": pytest.approx(1 / 3)}
    assert cache.faults() == []


def test_a_cache_with_a_file_counts_what_the_file_gave_and_took(tmp_path: Path) -> None:
    """A second cache finds in the file what the first wrote; only its first hit comes from there."""
    first, second = (Cache(Server(lambda n: 0.0), path=str(tmp_path / "answers.sqlite")) for _ in range(2))

    async def main() -> None:
        await first(ask("a"))
        await first(ask("b"))
        await first.aclose()
        for text in ("a", "a", "c"):
            await second(ask(text))
        await second.aclose()

    asyncio.run(main())
    of_file = {"file_hits": 0, "file_written": 2, "file_dropped": 0}
    assert first.figures() == {"hits": 0, "misses": 2, "stored": 2, **of_file}
    of_file = {"file_hits": 1, "file_written": 1, "file_dropped": 0}
    assert second.figures() == {"hits": 2, "misses": 1, "stored": 1, **of_file}
    assert first.faults() == second.faults() == []


def test_a_cache_whose_file_takes_nothing_says_why(tmp_path: Path) -> None:
    """The answers stand all the same; the fault names the file and the error of the disk."""
    file = full(tmp_path / "answers.sqlite")
    cache = Cache(Server(lambda n: 0.0), path=str(file))

    async def main() -> None:
        for text in ("a", "b", "a"):
            assert (await cache(ask(text))).outcome is Outcome.ok
        await cache.aclose()

    asyncio.run(main())
    of_file = {"file_hits": 0, "file_written": 0, "file_dropped": 2}
    assert cache.figures() == {"hits": 1, "misses": 2, "stored": 2, **of_file}
    assert cache.faults() == [f"its file failed, which costs hits: {file}: disk I/O error"]


def full(file: Path) -> Path:
    """A cache file that refuses every answer, as on a full disk."""
    AnswerStore(file).close()
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
        )
    connection.close()
    return file


def test_a_cache_whose_file_cannot_be_opened_goes_on_without(tmp_path: Path) -> None:
    """Its directory is removed between the check and the first request."""
    folder = tmp_path / "folder"
    folder.mkdir()
    cache = Cache(Server(), path=str(folder / "answers.sqlite"))
    folder.rmdir()
    one_by_one(cache, ask("a"), ask("a"))
    assert (cache.hits, cache.misses) == (1, 1)
    assert [fault.split(": ")[0] for fault in cache.faults()] == ["its file failed, which costs hits"]


def test_answers_that_come_faster_than_the_disk_are_counted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue of two that nobody empties: the third is dropped."""
    monkeypatch.setattr(store, "PENDING_MAX", 2)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: None)
    kept = AnswerStore(tmp_path / "answers.sqlite")
    for number in range(3):
        kept.put(bytes([number]), math.inf, b"answer")
    assert (kept.written, kept.dropped) == (0, 1)
    assert kept.error == f"{kept.path}: answers came faster than the disk could write them"


def test_a_cache_file_in_no_directory_is_refused_in_these_words(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match="cannot be used as a cache of answers: its directory does not exist"):
        check_file(tmp_path / "none" / "answers.sqlite")
    check_file(tmp_path / "answers.sqlite")
    assert not (tmp_path / "answers.sqlite").exists()


def test_a_semantic_cache_counts_hits_checks_and_false_ones() -> None:
    """The first is a miss; with shadow=1 each later one is asked for as well, and here always disagrees."""
    fresh = iter("abcd")
    server = Server(answer=lambda request: (next(fresh),))
    cache = SemanticCache(server, lambda text: (1.0, 0.0), shadow=1.0)
    one_by_one(cache, *[ask("How do I pay?")] * 3)
    counted = {"hits": 0, "misses": 3, "stored": 3, "checked": 2, "false": 2, "guard_refused": 0, "no_embedding": 0}
    assert cache.figures() == counted
    assert ratios(cache) == {"hit_share": 0.0, "false_share": 1.0, "false_share_high": 1.0}
    served = SemanticCache(Server(), lambda text: (1.0, 0.0), shadow=0.0)
    one_by_one(served, *[ask("How do I pay?")] * 3)
    assert (served.figures()["hits"], served.figures()["misses"]) == (2, 1)
    assert ratios(served) == {"hit_share": pytest.approx(2 / 3), "false_share": None, "false_share_high": None}


def test_what_the_guard_refused_is_counted_by_reason() -> None:
    """Another number is another question."""
    cache = SemanticCache(Server(), lambda text: (1.0, 0.0), shadow=0.0)
    one_by_one(cache, ask("Pay 5 now"), ask("Pay 7 now"))
    counted = cache.figures()
    assert counted["hits"] == 0
    assert counted["guard_refused"] == counted["guard_refused_number"] == 1


def test_requests_without_an_embedding_are_a_fault() -> None:
    """They are sent, and are neither hits nor misses."""
    cache = SemanticCache(failing(0), embed="target")
    one_by_one(cache, ask("How do I pay?"))
    counted = cache.figures()
    assert (counted["no_embedding"], counted["hits"], counted["misses"]) == (1, 0, 0)
    assert cache.faults() == ["some requests got no embedding, so they were sent without a look-up"]


def test_coalescing_counts_those_that_joined() -> None:
    """Four of a and one of b: two exchanges, three joined."""
    layer = Coalesce(server := Server())
    at_once(layer, *[ask("a")] * 4, ask("b"))
    assert layer.figures() == {"joined": 3, "started": 2}
    assert server.seen == 2
    assert ratios(layer) == {"joined_share": 0.6}


def test_deadlines_count_what_came_too_late() -> None:
    """One deadline lies in the past."""
    layer = Deadline(Server(), 5.0)
    one_by_one(layer, ask("a"), ask("b", deadline=0.05))
    assert layer.figures() == {"expired": 1}


def test_chunks_are_counted_by_text_and_piece() -> None:
    """Three sentences of one piece each; then a text whose second piece fails; then one that is short enough."""
    long = "One two three four. " * 3
    layer = Chunk(failing(4), tokens=5, parallel=1)
    one_by_one(layer, ask(long), ask(long), ask("Short."))
    assert layer.figures() == {"texts": 2, "pieces": 5, "failed": 1}
    assert ratios(layer) == {"pieces_per_text": 2.5}


def test_retries_are_counted_with_what_they_brought() -> None:
    """a needs one retry, b fails three times; both pauses are what the two retries were waited for."""
    layer = Retry(failing(0, 2, 3, 4), retries=2, base_s=0.1)
    one_by_one(layer, ask("a"), ask("b"), ask("c"))
    counted = layer.figures()
    paused_s = counted.pop("paused_s")
    assert counted == {"requests": 2, "recovered": 1, "retries": 3}
    assert 0.0 < paused_s <= 0.1 + 0.1 + 0.2


def test_a_retry_budget_counts_what_it_paid_and_refused() -> None:
    """A budget of two retries: the third is not sent."""
    probe = RetryBudget()
    price = probe.spend(throttled=False)
    budget = RetryBudget()
    while budget.left >= 3 * price:
        budget.spend(throttled=False)
    layer = Retry(Server(becomes=lambda n: Outcome.server_error), retries=5, base_s=0.01, budget=budget)
    one_by_one(layer, ask("a"))
    counted = layer.figures()
    assert (counted["retries"], counted["paid"], counted["unpaid"]) == (2, 2, 1)


def usual(slow: dict[int, float]) -> Server:
    """0.1 s, four of the first forty 0.2 s, and a few others that are slow."""
    return Server(lambda n: slow.get(n, 0.2 if n in (1, 2, 3, 4) else 0.1))


async def warmed(send: Send) -> None:
    for number in range(40):
        await send(ask(str(number)))


def test_hedges_are_counted_as_sent_won_and_held_back() -> None:
    """The second attempt of 40 wins; of the next the first does; with share=0 there is none."""
    hedge, none = Hedge(usual({40: 5.0, 42: 0.25})), Hedge(usual({40: 5.0}), share=0.0)

    async def main() -> None:
        await warmed(hedge)
        await hedge(ask("won"))
        await hedge(ask("lost"))
        await warmed(none)
        await none(ask("slow"))

    virtually(main())
    assert hedge.figures() == {"sent": 2, "won": 1, "unsent": 0, "held_back": 0}
    assert ratios(hedge) == {"won_share": 0.5}
    assert none.figures() == {"sent": 0, "won": 0, "unsent": 0, "held_back": 1}
    assert ratios(none) == {"won_share": None}


def test_a_hedge_that_a_hook_prevented_is_not_counted() -> None:
    """It was neither sent nor in a queue."""

    def broken(details: HedgeDetails) -> None:
        raise ZeroDivisionError

    hedge = Hedge(usual({40: 5.0}), on_hedge=broken)

    async def main() -> None:
        await warmed(hedge)
        with pytest.raises(ZeroDivisionError):
            await hedge(ask("late"))

    virtually(main())
    assert hedge.figures() == {"sent": 0, "won": 0, "unsent": 0, "held_back": 0}


def test_rate_limits_count_waits() -> None:
    """Four at once at 10 a second wait 0, 0.1, 0.2 and 0.3 s; a fifth would have to wait beyond its deadline."""
    layer = RateLimit(Server(lambda n: 0.0), 10.0)
    at_once(layer, *[ask(str(n)) for n in range(4)], ask("late", deadline=0.05))
    counted = layer.figures()
    assert counted["waited_s"] == pytest.approx(0.6)
    assert (counted["waits"], counted["not_sent"]) == (3, 1)
    assert ratios(layer) == {"mean_wait_s": pytest.approx(0.2)}
