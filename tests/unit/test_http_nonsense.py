"""Files that describe an API, with nonsense in them: each is read, or refused in one line; none ends in a traceback."""

from __future__ import annotations

import contextlib
import copy
import json
import tomllib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from harness.client.errors import BadResponse, ItemError, UsageError
from harness.client.tasks.http import Http, shipped
from harness.client.types import Item

FULL = """
path = "/b"
method = "POST"
answer = "/n"
headers = { X = "a" }
query = { q = "{{ text }}" }
body = { rows = [{ t = "{{ text }}" }] }
batch = { over = "/rows", answers = "/rows", index = "/i" }
success = { status = [200], body = "/ok == true" }
usage = { prompt_tokens = "/a" }
cache_key = "{{ text }}"
example = { text = "a" }
"""
JUNK: list[Any] = [
    *("", "{{", "}}", "{{ }}", "{{ a:b }}", "{{ a = }}", "/", "//", "~2", "/~", "\x00", "\n", "a" * 5000, "../.."),
    *("{{ /a/~3 }}", "=", "== 1", "/a == ", "/a matches [", "{{ text:file }}", "{{ text:text? = 3 }}", "${NOPE}", "${"),
    *("POST\r\nX: y", "Infinity", "http://x", 0, -1, 1e308, float("nan"), True, 2**62, [], {}, [[]], ["a", 1]),
    *(["{{ x }}"], {"a": {"b": ['{{ y:integer = "q" }}']}}),
]
ROWS: list[dict[str, Any]] = [
    {"text": "a", "prompt": "p", "max_tokens": 3, "text1": "a", "text2": "b", "messages": [{"role": "user"}]},
    {"text": None, "prompt": 5},
    {},
]
BODIES = [b"{}", b"[]", b"null", b'{"a": {"b": 1}}', b"5", b'"x"', b"[{}]", b"\xff", b'{"rows": [{"n": 1, "i": 5}]}']


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, str) else str(value)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key of a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield (*at, key)
        yield from places(value[key], (*at, key))


def spoilt(document: dict[str, Any], random: Random) -> str:
    """The document with one to three values replaced or left out."""
    document = copy.deepcopy(document)
    for _ in range(random.randint(1, 3)):
        if not (found := list(places(document))):
            break
        *path, last = random.choice(found)
        inside: Any = document
        for key in path:
            inside = inside[key]
        if random.random() < 0.8:
            inside[last] = copy.deepcopy(random.choice(JUNK))
        else:
            del inside[last]
    return "\n".join(f"{json.dumps(key)} = {as_toml(value)}" for key, value in document.items())


def used(task: Http) -> None:
    """Rows and answers go through it; only their own faults are found."""
    for row in ROWS:
        with contextlib.suppress(ItemError, UsageError, ValueError):
            request = task.request((Item(0, task.parse(row), task),))
            for body in BODIES:
                with contextlib.suppress(BadResponse):
                    task.answer(request, body)
            with contextlib.suppress(BadResponse):
                task.answer_stream(request, [b"{}", b"x", b"[DONE]"])


@pytest.mark.parametrize("seed", range(3))
def test_nonsense_is_read_or_refused_and_never_a_traceback(seed: int) -> None:
    random, refused = Random(seed), list[str]()
    bases = [tomllib.loads(FULL), *(tomllib.loads(shipped.file_text(name)) for name in shipped.names())]
    for _ in range(150):
        text = spoilt(random.choice(bases), random)
        try:
            used(Http(text=text))
        except UsageError as error:
            refused.append(str(error))
    assert len(refused) > 75
    assert [said for said in refused if "\n" in said] == []
