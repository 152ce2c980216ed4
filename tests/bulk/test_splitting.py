"""Requests of several items: a bad item is found, and only it becomes a dead letter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.bulk.splitting import GIVE_UP
from harness.client.layer_settings import LayerSettings
from harness.client.types import Outcome, Request, Response
from tests.bulk.helpers import go, rows, settings, write_input

BATCH = """
path = "/batch"
answer = "/n"
body = { rows = [{ t = "{{ text }}" }] }
batch = { over = "/rows", answers = "/rows" }
"""
LINES = 64


class Lists:
    """A server of lists, which refuses a list with a bad item in it."""

    def __init__(self, bad: Callable[[int], bool], status: int = 422, outcome: Outcome = Outcome.client_error) -> None:
        self.sizes: list[int] = []
        self._bad = bad
        self._status, self._outcome = status, outcome

    async def __call__(self, request: Request, /) -> Response:
        self.sizes.append(len(request.items))
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(0)
        bad = [item.index for item in request.items if self._bad(item.index)]
        if bad:
            return Response(self._outcome, self._status, sent=now, done=now, error=f"bad: {bad}")
        return Response(Outcome.ok, 200, tuple(item.index for item in request.items), sent=now, done=now)


def played(folder: Path, server: Lists, **more: Any) -> tuple[list[int], list[dict[str, Any]]]:
    """Lines with an answer, and dead letters."""
    (folder / "batch.toml").write_text(BATCH)
    write_input(folder / "in.jsonl", LINES)
    given = {"strategy": "adaptive-batch:concurrency=1,size=16,minimum=16,maximum=16", "errors_max": 1, **more}
    wanted = settings(folder, tasks=(), http=(str(folder / "batch.toml"),), **given)
    assert go(wanted, server).complete  # type: ignore[arg-type] # it is a `send`
    answers = rows(folder / "out.jsonl")
    assert all(row["answer"] == row["line"] for row in answers)
    return [row["line"] for row in answers], rows(folder / "bad.jsonl")


@pytest.mark.parametrize("bad", [{1}, {16}, {7, 8}, {3, 20, 64}, set(range(17, 33)), set()])
def test_only_the_bad_items_are_dead_letters(tmp_path: Path, bad: set[int]) -> None:
    """Each with its own error and its attempts; the others are answered, in order."""
    server = Lists(bad.__contains__)
    answered, dead = played(tmp_path, server)
    assert answered == [line for line in range(1, LINES + 1) if line not in bad]
    assert {row["line"]: row["error"] for row in dead} == {line: f"bad: [{line}]" for line in bad}
    assert all(row["attempts"] >= 2 for row in dead)
    if len(bad) == 1:
        assert len(server.sizes) <= LINES / 16 + 1 + 2 * 4


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_failure_that_no_item_causes_is_not_looked_into(tmp_path: Path, status: int) -> None:
    """Every request would fail."""
    server = Lists(lambda index: index == 5, status)
    answered, dead = played(tmp_path, server)
    assert len(answered) + len(dead) == LINES
    assert min(server.sizes[:-1]) > 1


def test_an_answer_with_an_element_that_cannot_be_read_is_split(tmp_path: Path) -> None:
    answered, dead = played(tmp_path, Lists(lambda index: index == 9, 200, Outcome.bad_response))
    assert (len(answered), [row["class"] for row in dead]) == (LINES - 1, ["bad_response"])


def test_requests_that_all_fail_are_soon_kept_whole(tmp_path: Path) -> None:
    """A wrong parameter is the fault of no item."""
    server = Lists(lambda index: True, 400)
    answered, dead = played(tmp_path, server, layers=LayerSettings(retries=0))
    assert (answered, len(dead)) == ([], LINES)
    whole = [size for size in server.sizes if size > 8]
    assert len(server.sizes) <= GIVE_UP * 31 + len(whole)
    assert json.dumps(dead[-1]["error"]).startswith('"bad: [')


def test_an_item_on_which_the_server_breaks_is_found(tmp_path: Path) -> None:
    """Many servers answer 500 to an item that they did not expect."""
    server = Lists({20, 50}.__contains__, 500, Outcome.server_error)
    answered, dead = played(tmp_path, server, layers=LayerSettings(retries=0))
    assert (len(answered), [row["line"] for row in dead]) == (LINES - 2, [20, 50])


def test_a_server_that_only_breaks_is_soon_left_alone(tmp_path: Path) -> None:
    """Also if several requests fail at once."""
    server = Lists(lambda index: True, 500, Outcome.server_error)
    strategy = "adaptive-batch:concurrency=4,size=8,minimum=8,maximum=8"
    answered, dead = played(tmp_path, server, strategy=strategy, layers=LayerSettings(retries=0))
    assert (answered, len(dead)) == ([], LINES)
    assert len(server.sizes) <= GIVE_UP * 14 + LINES / 8
