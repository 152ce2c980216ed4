"""Urgent items overtake, by the strategy alone and in bulk processing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness.client.errors import SettingError
from harness.client.tasks.annotate import Annotate
from harness.client.types import Item, Outcome, Request, Response
from harness.strategies.priority import Priority
from tests.bulk.helpers import Server, go, rows, settings
from tests.virtual_time import virtually


def sent(strategy: Priority, priorities: list[int]) -> list[int]:
    """The order in which items of these priorities are sent, all of them known before the first is done."""
    order: list[int] = []

    async def items() -> AsyncIterator[Item]:
        for index, priority in enumerate(priorities):
            yield Item(index, "x", Annotate(), priority)

    async def send(request: Request, /) -> Response:
        order.append(request.items[0].index)
        await asyncio.sleep(0.01)
        return Response(Outcome.ok, 200, ("y",))

    async def main() -> None:
        async for _ in strategy.stream(items(), send):
            pass

    virtually(main())
    return order


def test_the_most_urgent_goes_first_and_equals_in_order() -> None:
    """Smaller is more urgent."""
    order = sent(Priority(concurrency=1), [0, 5, 5, -3, 0, 5, -3])
    assert order == [3, 6, 0, 4, 1, 2, 5]


def test_with_patience_nobody_waits_for_ever() -> None:
    """An item of the next level is overtaken by so many later ones and no more."""
    priorities = [1, *[0] * 50]
    assert sent(Priority(concurrency=1), priorities).index(0) == 50
    assert sent(Priority(concurrency=1, patience=10), priorities).index(0) == 9


def test_only_what_waits_can_be_overtaken() -> None:
    """The queue bounds how far ahead urgent items are looked for, and with it the memory."""
    order = sent(Priority(concurrency=1, queue_size=10), [0] * 100 + [-1])
    assert 80 < order.index(100) < 100


@pytest.mark.parametrize("limit", ["fixed", "aimd"])
def test_any_limit_will_do(limit: str) -> None:
    """Each item once."""
    assert sorted(sent(Priority(concurrency=7, limit=limit), [n % 3 for n in range(60)])) == list(range(60))


def test_settings_are_checked() -> None:
    """Named with their range."""
    with pytest.raises(SettingError, match="patience=-1 must be at least 0"):
        Priority(patience=-1)


@pytest.mark.parametrize("strategy", ["priority:concurrency=1", "queue-stream:concurrency=1"])
def test_bulk_processing_uses_priorities_or_says_that_it_does_not(tmp_path: Path, strategy: str) -> None:
    """By the strategy; a note says so once."""
    lines = [{"text": "x", "priority": 0 if n < 90 else -1} for n in range(100)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    notes: list[Any] = []

    def tell(event: str, facts: dict[str, Any]) -> None:
        if event == "note":
            notes.append(facts["text"])

    server = Server(turns=lambda index: 1)
    go(settings(tmp_path, strategy=strategy, order="completion"), server, tell=tell)
    first = [row["line"] for row in rows(tmp_path / "out.jsonl")][:10]
    if strategy.startswith("priority"):
        assert sum(line > 90 for line in first) >= 9
        assert notes == []
    else:
        assert first == list(range(1, 11))
        assert notes == ["queue-stream:concurrency=1 ignores priorities; use -s priority"]
