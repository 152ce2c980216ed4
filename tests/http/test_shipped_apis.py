"""The APIs that come with paceline, against the mock's routes of those servers; and fields that are set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from harness.client.errors import BadResponse
from harness.client.tasks.http import Http, shipped
from harness.client.transport.async_http import HttpTransport
from harness.client.types import Item
from model_server.http.serving import served
from tests.server_helpers import null_app
from tests.unit.test_shipped_tasks import FORMS

GENERATED = {"prompt_tokens": 7, "completion_tokens": 3}
SHIPPED: dict[str, tuple[str, dict[str, Any], Any]] = {
    "kserve-text": (":model=bert", {"text": "a b"}, list),
    "ollama-chat": (":max_tokens=3,model=qwen3", {"prompt": "Why is the sky blue?"}, GENERATED),
    "ollama-embed": ("", {"text": "a b"}, list),
    "ollama-generate": (":model=a:b/c", {"prompt": "Why is the sky?", "system": "Be", "max_tokens": "3"}, GENERATED),
    "tei-embed": ("", {"text": "a b"}, list),
    "tgi-generate": ("", {"prompt": "Why is the sky blue?", "max_tokens": 3, "temperature": "0.5"}, GENERATED),
    "tgi-stream": (":seed=4,temperature=1", {"prompt": "Why is the sky blue?", "max_tokens": 3}, GENERATED),
}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A mock that answers at once."""
    async with served(null_app()) as found:
        yield found


def test_every_shipped_file_is_tested() -> None:
    """Here, or with its published form."""
    assert set(shipped.names()) == {*SHIPPED, "anthropic-stream", *(form.name for form in FORMS)}


@pytest.mark.parametrize("name", SHIPPED)
async def test_a_shipped_api_is_read(name: str, url: str) -> None:
    """A row, and a made-up one; with the server's counts of tokens."""
    settings, row, expected = SHIPPED[name]
    task = Http(name + settings)
    made_up = task.synthetic(lambda length: "word " * length, 4)
    async with HttpTransport(url) as send:
        for data in (task.parse(row), made_up):
            response = await send(task.request((Item(0, data, task),)))
            assert response.outcome.name == "ok", response.error
        response = await send(task.request((Item(0, task.parse(row), task),)))
    (answer,) = response.answers
    if expected is list:
        assert len(answer) == 64
        return
    assert answer.usage.completion_tokens == 3
    assert abs(answer.usage.prompt_tokens - 7) <= 2
    assert len(response.chunks) == (0 if name == "tgi-generate" else 3)


@pytest.mark.parametrize("spec", ["kserve-text:model=bert", "tei-embed", "ollama-embed:model=m"])
async def test_several_texts_make_one_request(spec: str, url: str) -> None:
    """Each gets its own vector, in order."""
    task = Http(spec)
    texts = ["a b", "c", "d e f"]
    async with HttpTransport(url) as send:
        whole = await send(task.request([Item(n, task.parse({"text": text}), task) for n, text in enumerate(texts)]))
        single = [await send(task.request((Item(0, task.parse({"text": text}), task),))) for text in texts]
    assert whole.answers == tuple(one.answers[0] for one in single)
    assert len(set(map(str, whole.answers))) == 3


def test_a_set_field_is_the_same_for_all_rows_and_keeps_its_type() -> None:
    """Also in a path and in a text; a value without a type is JSON where it is JSON."""
    text = (
        'path = "/{{ lang }}"\nanswer = "/x"\nbody = { a = "{{ a }}", n = "{{ n }}", t = "N {{ n }} {{ t:text }}" }\n'
    )
    task = Http("x.toml:lang=a/b,n=[1],t=7", text)
    request = task.request((Item(0, task.parse({"a": "A", "n": 5, "lang": "de"}), task),))
    assert request.path == "/a%2Fb"
    assert json.loads(request.body) == {"a": "A", "n": [1], "t": "N [1] 7"}


def test_a_batch_tells_the_number_of_its_items_and_cuts_a_flat_list() -> None:
    """One value an item is the value."""
    task = Http("kserve-text:model=m")
    items = [Item(n, task.parse({"text": str(n)}), task) for n in range(3)]
    request = task.request(items)
    assert json.loads(request.body)["inputs"][0] == {
        "name": "text", "datatype": "BYTES", "shape": [3, 1], "data": ["0", "1", "2"],
    }  # fmt: skip
    assert task.answer(request, b'{"outputs": [{"data": [1, 2, 3]}]}') == (1, 2, 3)
    assert task.answer(request, b'{"outputs": [{"data": [1, 2, 3, 4, 5, 6]}]}') == ([1, 2], [3, 4], [5, 6])
    for data, said in (("[]", "0 values"), ("[1, 2]", "2 values, which cannot be shared out among 3 items")):
        with pytest.raises(BadResponse, match=said):
            task.answer(request, f'{{"outputs": [{{"data": {data}}}]}}'.encode())
