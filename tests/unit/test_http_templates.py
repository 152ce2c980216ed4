"""Templates of HTTP tasks: any value arrives as it was, wherever it stands."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness import plugins
from harness.client.cache.equality import key_of, singles
from harness.client.errors import BadResponse, ItemError, SettingError
from harness.client.redaction import redact
from harness.client.task_calls import items
from harness.client.tasks.http import Http
from harness.client.tasks.http.answers import document
from harness.client.tasks.http.events import LineSplitter
from harness.client.types import Item, Outcome, Request, Response
from harness.strategies.adaptive_batch import AdaptiveBatch

TEXTS = some.text(max_size=30).filter(lambda text: text.isprintable() or text.isascii())
VALUES = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**53), 2**53)
    | some.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
EVERYWHERE = Http(
    text="""
path = "/a/{{ p }}/b"
answer = ""
query = { q = "{{ t }}", fixed = "ü & x" }
[body]
value = "{{ v }}"
inside = "<{{ t }}|{{ v:json }}>"
list = [1, ["{{ v }}"], "{{ missing? }}"]
fixed = { deep = [1, 2.5, true, "$${x}"] }
"""
)


def made(task: Http, row: dict[str, Any]) -> Request:
    """The request of a row."""
    return task.request((Item(0, task.parse(row), task),))


@given(text=TEXTS, value=VALUES, part=TEXTS.filter(lambda text: text not in ("", ".", "..")))
def test_any_value_arrives_as_it_was(text: str, value: Any, part: str) -> None:
    """In JSON with its type, in a text, in a path and in a query; no value can become structure."""
    request = made(EVERYWHERE, {"p": part, "t": text, "v": value if not isinstance(value, str) else [value]})
    sent = value if not isinstance(value, str) else [value]
    body = json.loads(request.body)
    assert body["value"] == sent
    assert body["list"] == [1, [sent]]
    assert body["inside"].startswith(f"<{text}|")
    assert body["fixed"] == {"deep": [1, 2.5, True, "${x}"]}
    path, _, query = request.path.partition("?")
    assert path.isascii()
    assert path.count("/") == 3
    assert unquote(path.split("/")[2]) == part
    assert parse_qs(query, keep_blank_values=True) == {"q": [text], "fixed": ["ü & x"]}


@given(fields=some.lists(TEXTS, min_size=2, max_size=2))
def test_a_form_carries_any_text(fields: list[str]) -> None:
    """Encoded by place."""
    task = Http(text='answer = ""\nform = { a = "{{ a }}", b = "x {{ b }}" }\n')
    request = made(task, {"a": fields[0], "b": fields[1]})
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert parse_qs(request.body.decode(), keep_blank_values=True) == {"a": [fields[0]], "b": ["x " + fields[1]]}


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"h": "a\r\nX: b"}, "holds a character that no header can carry"),
        ({"h": "日"}, "holds a character that no header can carry"),
        ({"h": " "}, "the header X-Tenant would be empty"),
        ({"h": "a", "p": ".."}, "p: '..' cannot be a part of a path"),
        ({"h": "a", "p": ""}, "p: '' cannot be a part of a path"),
        ({"h": "a", "n": "3.5"}, "n: 3.5 is not a whole number"),
        ({"h": "a", "n": "1e999"}, "n: is inf"),
        ({"h": "a", "n": True}, "n: is a boolean, not a number"),
        ({"h": "a", "l": "[1"}, "l: is a text that is no JSON"),
        ({"h": "a", "l": "{}"}, "l: is an object, not a list"),
        ({"h": "a", "f": "/nowhere"}, "f: '/nowhere': No such file"),
        ({"h": "\ud800"}, "holds half of a surrogate pair"),
        ({"h": ["x"]}, "h: is a list, not a text"),
        ({}, "h: is missing"),
    ],
)
def test_a_row_that_does_not_fit_is_malformed(row: dict[str, Any], error: str) -> None:
    """Known when it is read, before anything is sent."""
    task = Http(
        text='path = "/{{ p:text = "x" }}"\nanswer = ""\nheaders = { X-Tenant = "{{ h:text }}" }\n'.replace(
            '"x"', '\\"x\\"'
        )
        + 'body = { n = "{{ n:integer = 1 }}", l = "{{ l:list = [] }}", f = "{{ f:base64? }}" }\n'
    )
    with pytest.raises(ItemError) as found:
        task.parse(row)
    assert error in str(found.value)


def test_optional_fields_defaults_and_literals() -> None:
    """`?` leaves the key out, `=` has JSON, quoted braces are text; null is a value where it is sent as such."""
    task = Http(
        text="""
answer = ""
body = '''{"a": "{{ a }}", "b": "{{ b? }}", "c": "{{ c:integer = 5 }}", "d": "{{ \\"{{\\" }} x }}", "n": null}'''
"""
    )
    assert json.loads(made(task, {"a": None}).body) == {"a": None, "c": 5, "d": "{{ x }}", "n": None}
    assert json.loads(made(task, {"a": 1, "b": [], "c": "7"}).body)["b"] == []


def test_a_secret_of_the_environment_is_known_to_redaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the request, and in no text that is shown; the settings have its name."""
    monkeypatch.setenv("A_KEY", "zq-very-secret-zq")
    task = Http(
        text='answer = ""\nheaders = { X-Key = "k ${A_KEY}" }\nquery = { key = "${A_KEY}" }\nbody = { a = "{{ a }}" }\n'
    )
    request = made(task, {"a": "${A_KEY}"})
    assert (request.headers, request.path) == ({"X-Key": "k zq-very-secret-zq"}, "?key=zq-very-secret-zq")
    assert json.loads(request.body) == {"a": "${A_KEY}"}, "a field is never resolved"
    assert "zq-very" not in redact(f"{request.path} {request.headers}")
    assert "zq-very" not in repr(plugins.settings_of(task))
    again = plugins.build("task", "http", plugins.settings_of(task))
    assert again == task
    assert made(again, {"a": 1}) == made(task, {"a": 1}) or made(again, {"a": 1}).body == made(task, {"a": 1}).body


def test_cache_key_and_idempotence_reach_the_layers() -> None:
    """Requests with the same key are equal, whatever else they hold; others are as they were."""
    text = 'idempotent = false\ncache_key = "{{ id }}"\nanswer = ""\nbody = { id = "{{ id }}", t = "{{ t }}" }\n'
    keyed, plain = Http(text=text), Http(text=text.replace('cache_key = "{{ id }}"\n', ""))
    assert key_of(made(keyed, {"id": 1, "t": "a"})) == key_of(made(keyed, {"id": 1, "t": "b"}))
    assert key_of(made(keyed, {"id": 1, "t": "a"})) != key_of(made(keyed, {"id": 2, "t": "a"}))
    assert key_of(made(plain, {"id": 1, "t": "a"})) != key_of(made(plain, {"id": 1, "t": "b"}))
    assert not made(keyed, {"id": 1, "t": "a"}).idempotent


def test_items_of_a_batch_have_keys_of_their_own() -> None:
    """A cache looks them up one by one."""
    task = Http(
        text='cache_key = "{{ t }}"\nanswer = ""\nbatch = { over = ["/a", "/b"] }\n'
        'body = { a = ["{{ t }}"], b = [{ x = "{{ t }}" }] }\n'
    )
    items = [Item(n, task.parse({"t": f"t{n}"}), task) for n in range(3)]
    request = task.request(items)
    assert json.loads(request.body) == {"a": ["t0", "t1", "t2"], "b": [{"x": "t0"}, {"x": "t1"}, {"x": "t2"}]}
    keys = [single.cache_key for _, single in singles(request)]
    assert keys == [task.request((item,)).cache_key for item in items]
    assert None not in keys
    with pytest.raises(BadResponse, match="2 answers for 3 items"):
        task.answer(request, b"[1, 2]")
    with pytest.raises(SettingError, match=r"\{\{ u \}\} stands outside of the lists"):
        Http(text='answer = ""\nbatch = { over = "/a" }\nbody = { a = ["{{ t }}"], b = "{{ u }}" }\n')


def test_made_up_items_fill_the_texts() -> None:
    """An example has what is no text."""
    text = 'answer = ""\nbody = { q = "{{ q }}", n = "{{ n:integer }}", o = "{{ o:number? }}" }\n'
    text += 'example = { q = "x", n = 4 }\n'
    task = Http(text=text)
    assert task.synthetic(lambda n: "w" * n, 6) == ("wwwwww", 4, task.synthetic(lambda n: "w", 1)[2])
    with pytest.raises(SettingError, match="give --input FILE, or an"):
        Http(text=text.partition("example")[0]).synthetic(lambda n: "w", 1)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the answer is empty"),
        (b"<!DOCTYPE html><p>", "the answer is an HTML page"),
        (b"  <x/>", "the answer is XML"),
        (b"data: {}\n\n", "describe it under [stream]"),
        (b'{"a":1}\n{"a":2}\n', 'format = "json-lines"'),
        (b"nope", "the answer is not JSON"),
        (b"\xff", "the answer is not JSON"),
    ],
)
def test_another_form_of_answer_is_named(body: bytes, text: str) -> None:
    """With what to do about it."""
    with pytest.raises(BadResponse) as error:
        document(body, "json")
    assert text in str(error.value)


@given(
    lines=some.lists(some.binary(min_size=1, max_size=9).map(lambda b: b.replace(b"\n", b"x").strip()).filter(bool)),
    size=some.integers(1, 7),
)
def test_lines_are_whole_however_they_arrive(lines: list[bytes], size: int) -> None:
    """The last may have no end."""
    data, splitter, found = b"\n\n".join(lines), LineSplitter(), list[bytes]()
    for start in range(0, len(data), size):
        found += splitter.feed(data[start : start + size])
    assert found + splitter.close() == lines


async def test_a_batch_never_has_more_items_than_the_file_allows() -> None:
    """Whatever the strategy's own bound; a task without [batch] gets one item a request."""
    text = 'answer = ""\nbatch = { over = "/a", max = 3 }\nbody = { a = ["{{ t }}"] }\n'
    for task, most in ((Http(text=text), 3), (Http(text='answer = ""\nbody = { a = "{{ t }}" }\n'), 1)):
        sizes: list[int] = []

        async def send(request: Request, /, sizes: list[int] = sizes) -> Response:
            await asyncio.sleep(0)
            sizes.append(len(request.items))
            return Response(Outcome.ok, 200, (None,) * len(request.items), 0.0, 0.0, 0.0)

        strategy = AdaptiveBatch(concurrency=2, size=16)
        rows = ({"t": f"t{n}"} for n in range(20))
        results = [result async for result in strategy.stream(items(task, rows), send)]
        assert len(results) == sum(sizes) == 20
        assert max(sizes) == most
