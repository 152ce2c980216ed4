"""Foreign APIs, each described by a TOML file, over both transports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from harness.client.answers import Usage, usage_of
from harness.client.tasks.http import Counted, Http
from harness.client.transport.async_http import HttpTransport
from harness.client.transport.blocking import BlockingTransport
from harness.client.transport.lean import LeanTransport
from harness.client.types import Item, Send
from tests.http.foreign import KEY, PIXEL, SHAPES, Shape, served


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The foreign server."""
    async with served() as found:
        yield found


def transport(kind: str, url: str) -> AbstractAsyncContextManager[Send]:
    """One of the transports."""
    kinds = {"aiohttp": HttpTransport, "lean": LeanTransport, "blocking": BlockingTransport}
    return kinds[kind](url, timeout_s=20)


@pytest.mark.parametrize("kind", ["aiohttp", "lean", "blocking"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name.replace(" ", "-"))
async def test_a_foreign_shape_is_a_task(
    shape: Shape, kind: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file describes request and answer; nothing of it is Python."""
    monkeypatch.setenv("FOREIGN_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pixel.png").write_bytes(PIXEL)
    task = Http(text=shape.toml)
    item = Item(0, task.parse(shape.row), task)
    async with transport(kind, url) as send:
        for _ in range(2):  # the second one on the kept connection
            response = await send(task.request((item,)))
            assert response.outcome.name == shape.outcome, response.error
            if shape.error is None:
                assert response.answers == (shape.answer,)
            else:
                assert shape.error in (response.error or "")
            assert KEY not in repr(response.error)


async def test_a_stream_has_the_instants_of_its_pieces_and_the_counts_of_the_server(url: str) -> None:
    """Usage comes with the last event."""
    shape = next(shape for shape in SHAPES if shape.name.startswith("SSE"))
    task = Http(text=shape.toml + '[usage]\nprompt_tokens = "/count/in"\ncompletion_tokens = "/count/out"\n')
    async with HttpTransport(url) as send:
        response = await send(task.request((Item(0, task.parse(shape.row), task),)))
    (answer,) = response.answers
    assert (answer.text, answer.usage) == ("a b c ", Usage(3, 3))
    assert len(response.chunks) == 3
    assert response.first_byte == response.chunks[0]


async def test_several_items_make_one_request(url: str) -> None:
    """Answers come back in the order of the items, whatever the server's."""
    shape = next(shape for shape in SHAPES if shape.name == "batch lists")
    task = Http(text=shape.toml)
    items = [Item(n, task.parse({"text": "x" * n}), task) for n in range(1, 6)]
    async with HttpTransport(url) as send:
        response = await send(task.request(items))
    assert response.answers == (1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="at most 8 items"):
        task.request(items * 2)


def test_usage_stands_beside_a_plain_answer() -> None:
    """Layers and figures find it there."""
    task = Http(text='answer = "/x"\nbody = { a = "{{ a }}" }\nusage = { prompt_tokens = "/u/p" }\n')
    request = task.request((Item(0, task.parse({"a": 1}), task),))
    assert task.answer(request, b'{"x": 5, "u": {"p": 7}}') == (Counted(5, Usage(7, None)),)
    assert task.answer(request, b'{"x": 5}') == (Counted(5, None),)


def test_a_request_of_several_items_has_one_usage() -> None:
    """Of the whole body, with cached and reasoning tokens where the file says."""
    task = Http(
        text="""
        answer = "/x"
        path = "/batch"
        body = { all = [{ a = "{{ a }}" }] }
        batch = { over = "/all", answers = "/out" }
        usage = { prompt_tokens = "/u/p", cached_tokens = "/u/d/c", reasoning_tokens = "/u/r" }
        """
    )
    items = tuple(Item(n, task.parse({"a": n}), task) for n in range(2))
    answers = task.answer(task.request(items), b'{"out": [{"x": 1}, {"x": 2}], "u": {"p": 7, "d": {"c": 4}, "r": 1}}')
    assert answers == (1, 2)
    assert usage_of(answers) == Usage(7, None, 4, 1)
