"""A foreign server: fifteen shapes of HTTP APIs that are not ours, each with the TOML file that describes it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import os
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

KEY = "s3cret-foreign-key"
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def score_of(a: str, b: str) -> float:
    """The similarity of two texts, as this server sees it."""
    return round(len(set(a.split()) & set(b.split())) / max(1, len(set(a.split()) | set(b.split()))), 3)


async def _in_house(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != f"Bearer {KEY}" or request.headers.get("X-Team") != "search":
        return web.json_response({"error": "who are you?"}, status=401)
    body = await request.json()
    await asyncio.sleep(0.004)
    return web.json_response({"data": {"score": score_of(body["a"], body["b"])}})


async def _nested(request: web.Request) -> web.Response:
    body = await request.json()
    value = {"label": "long" if len(body["input"]["text"]) > 20 else "short", "score": 0.9}
    return web.json_response({"result": {"predictions": [value, {"label": "other", "score": 0.1}]}})


async def _lists(request: web.Request) -> web.Response:
    body = await request.json()
    assert isinstance(body["labels"], list)
    return web.json_response([{"labels": body["labels"], "scores": [1 / len(body["labels"])] * len(body["labels"])}])


async def _soft_error(request: web.Request) -> web.Response:
    body = await request.json()
    if "bad" in body["text"]:
        return web.json_response({"code": 17, "message": "no such model"})
    return web.json_response({"code": 0, "result": {"text": body["text"].upper()}})


async def _busy(request: web.Request) -> web.Response:
    return web.json_response({"code": 99, "message": "too busy"})


async def _sse(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for word in body["prompt"].split():
        await answer.write(b"event: token\ndata: " + json.dumps({"tok": {"t": word + " "}}).encode() + b"\n\n")
    usage = {"in": 3, "out": len(body["prompt"].split())}
    await answer.write(b"data: " + json.dumps({"finished": True, "count": usage}).encode() + b"\n\n")
    await answer.write_eof()
    return answer


async def _json_lines(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await answer.prepare(request)
    for letter in body["prompt"][:4]:
        await answer.write(json.dumps({"response": letter, "done": False}).encode() + b"\n")
    await answer.write(json.dumps({"response": "", "done": True, "eval_count": 4, "prompt_eval_count": 2}).encode())
    await answer.write_eof()
    return answer


async def _form(request: web.Request) -> web.Response:
    assert request.content_type == "application/x-www-form-urlencoded"
    form = await request.post()
    return web.json_response({"echo": form["text"], "tags": form.getall("tag")})


async def _transcribe(request: web.Request) -> web.Response:
    """As OpenAI's transcriptions take a file."""
    form = await request.post()
    file = form["file"]
    assert isinstance(file, web.FileField)
    data = file.file.read()
    tags = [str(tag) for tag in form.getall("tag")]
    return web.json_response({"name": file.filename, "type": file.content_type, "bytes": len(data), "tags": tags})


async def _query(request: web.Request) -> web.Response:
    return web.json_response({"hits": [request.query["q"], request.query.get("page", "1")]})


async def _image(request: web.Request) -> web.Response:
    body = await request.json()
    kind, _, data = body["image"].partition(";base64,")
    return web.json_response({"type": kind, "bytes": len(base64.b64decode(data))})


async def _batch(request: web.Request) -> web.Response:
    body = await request.json()
    if not all(text["t"] for text in body["rows"]):
        return web.json_response({"error": "a row is empty"}, status=400)
    rows = [{"i": n, "n": len(text["t"])} for n, text in enumerate(body["rows"])]
    return web.json_response({"rows": rows[::-1], "few": rows[:1]})


async def _key_header(request: web.Request) -> web.Response:
    if request.headers.get("X-Api-Key") != KEY:
        return web.json_response({"error": "no key"}, status=403)
    return web.json_response({"ok": True, "tenant": request.headers["X-Tenant"]})


async def _key_query(request: web.Request) -> web.Response:
    if request.query.get("key") != KEY:
        return web.json_response({"error": f"the key {request.query.get('key')} is wrong"}, status=403)
    return web.json_response({"ok": 1})


async def _path(request: web.Request) -> web.Response:
    return web.json_response({"id": request.match_info["id"], "lang": request.match_info["lang"]}, status=201)


async def _gzip(request: web.Request) -> web.Response:
    body = gzip.compress(json.dumps({"text": (await request.json())["text"]}).encode())
    return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


async def _numbers(request: web.Request) -> web.Response:
    body = await request.json()
    assert type(body["year"]) is int
    assert type(body["weight"]) is float
    return web.json_response({"score": f"{body['year'] / 2000:.3f}", "year": str(body["year"])})


async def _xml(request: web.Request) -> web.Response:
    return web.Response(text='<?xml version="1.0"?><score>0.5</score>', content_type="application/xml")


async def _pipeline(request: web.Request) -> web.Response:
    """A pipeline of transformers behind FastAPI: one label for each text, or FastAPI's own refusal."""
    body = await request.json()
    texts = body.get("texts")
    if not isinstance(texts, list):
        where = {"type": "missing", "loc": ["body", "texts"], "msg": "Field required", "input": body}
        return web.json_response({"detail": [where]}, status=422)
    await asyncio.sleep(0.004 + 0.001 * len(texts))
    good = ["good" in text or "love" in text for text in texts]
    return web.json_response([{"label": "POSITIVE" if one else "NEGATIVE", "score": 0.9987} for one in good])


async def _no_model(request: web.Request) -> web.Response:
    """Refusals of a model's name, as Ollama and OpenAI write them."""
    if request.path == "/api/chat":
        name = (await request.json())["model"]
        return web.json_response({"error": f"model '{name}' not found"}, status=404)
    return web.json_response({"error": {"message": "you must provide a model parameter"}}, status=400)


async def _deep(request: web.Request) -> web.Response:
    return web.Response(text='{"data":' * 5000 + "1" + "}" * 5000, content_type="application/json")


async def _echo(request: web.Request) -> web.Response:
    """What arrived, for tests of headers."""
    return web.json_response({"path": request.path_qs, "headers": dict(request.headers)})


def app() -> web.Application:
    """All routes."""
    made = web.Application(client_max_size=64 * 1024 * 1024)
    made.add_routes(
        [
            web.post("/api/v2/score", _in_house),
            web.post("/nested", _nested),
            web.post("/lists", _lists),
            web.post("/soft", _soft_error),
            web.post("/busy", _busy),
            web.post("/sse", _sse),
            web.post("/lines", _json_lines),
            web.post("/form", _form),
            web.post("/transcribe", _transcribe),
            web.get("/search", _query),
            web.post("/image", _image),
            web.post("/batch", _batch),
            web.post("/keyed", _key_header),
            web.get("/keyed", _key_query),
            web.put("/{lang}/items/{id}", _path),
            web.post("/gzip", _gzip),
            web.post("/numbers", _numbers),
            web.post("/xml", _xml),
            web.post("/deep", _deep),
            web.post("/classify", _pipeline),
            web.post("/api/chat", _no_model),
            web.post("/v1/chat/completions", _no_model),
            web.post("/echo", _echo),
            web.post("/v1/echo", _echo),
            web.get("/echo", _echo),
            web.get("/", _echo),
        ]
    )
    return made


@dataclass(frozen=True)
class Shape:
    """One API: its TOML file, a row, and the answer."""

    name: str
    toml: str
    row: dict[str, Any]
    answer: Any = None
    error: str | None = None
    outcome: str = "ok"
    environment: dict[str, str] = field(default_factory=lambda: {"FOREIGN_KEY": KEY})


IN_HOUSE = """path = "/api/v2/score"
answer = "/data/score"
[headers]
Authorization = "Bearer ${FOREIGN_KEY}"
X-Team = "search"
[body]
a = "{{ a }}"
b = "{{ b }}"
"""

SHAPES = [
    Shape("in-house", IN_HOUSE, {"a": 'x "y"', "b": 'x "y"'}, 1.0),
    Shape(
        "nested",
        """
path = "/nested"
answer = { label = "/result/predictions/0/label", score = { at = "/result/predictions/0/score", type = "number" } }
body = { input = { text = "{{ text }}", tags = [1, "{{ tag? }}"] } }
""",
        {"text": "short"},
        {"label": "short", "score": 0.9},
    ),
    Shape(
        "lists",
        """
path = "/lists"
answer = { at = "/0/scores", type = "numbers", min = 0, max = 1 }
body = { labels = "{{ labels:list }}" }
""",
        {"labels": '["a", "b"]'},
        [0.5, 0.5],
    ),
    Shape(
        "200 with an error",
        """
path = "/soft"
answer = "/result/text"
success = { when = { at = "/code", equals = 0 }, message = "/message" }
body = { text = "{{ text }}" }
""",
        {"text": "bad"},
        error="not a success: /code is 17, expected 0: no such model",
        outcome="bad_response",
    ),
    Shape(
        "200 that means busy",
        """
path = "/busy"
answer = "/result"
[success]
when = [{ at = "/message", exists = false }, { at = "/code", one_of = [0, 1] }]
otherwise = "rejected"
[body]
text = "{{ text }}"
""",
        {"text": "x"},
        error='not a success: /message is there: "too busy"',
        outcome="rejected",
    ),
    Shape(
        "SSE with other field names",
        """
path = "/sse"
body = { prompt = "{{ prompt }}", stream = true }
stream = { text = "/tok/t", end = { at = "/finished", equals = true } }
""",
        {"prompt": "a b c"},
        "a b c ",
    ),
    Shape(
        "JSON lines",
        """
path = "/lines"
body = { prompt = "Say {{ prompt }}!" }
stream = { format = "json-lines", text = "/response", end = { at = "/done", equals = true } }
""",
        {"prompt": "it"},
        "Say ",
    ),
    Shape(
        "form-encoded",
        """
path = "/form"
answer = { text = "/echo", tags = "/tags" }
form = { text = "{{ text }}", tag = "{{ tags:list }}", none = "{{ nothing? }}" }
""",
        {"text": "ü & = ?", "tags": ["a", "b"]},
        {"text": "ü & = ?", "tags": ["a", "b"]},
    ),
    Shape(
        "file in multipart",
        """
path = "/transcribe"
answer = ""
[multipart]
file = "{{ path:file }}"
tag = "{{ tags:list }}"
note = "{{ note? }}"
model = "whisper-1"
""",
        {"path": "pixel.png", "tags": ["ü", 'a "b"']},
        {"name": "pixel.png", "type": "image/png", "bytes": len(PIXEL), "tags": ["ü", 'a "b"']},
    ),
    Shape(
        "GET with query",
        """
method = "GET"
path = "/search"
answer = { at = "/hits", type = "list" }
query = { q = "{{ q }}", page = "{{ page:integer = 2 }}" }
""",
        {"q": "what & why?"},
        ["what & why?", "2"],
    ),
    Shape(
        "base64 image",
        """
path = "/image"
answer = { type = "/type", bytes = "/bytes" }
body = { image = "{{ file:data-url }}" }
""",
        {"file": "pixel.png"},
        {"type": "data:image/png", "bytes": len(PIXEL)},
    ),
    Shape(
        "batch lists",
        """
path = "/batch"
answer = "/n"
body = { model = "m", rows = [{ t = "{{ text }}" }] }
batch = { over = "/rows", answers = "/rows", index = "/i", max = 8 }
""",
        {"text": "four"},
        4,
    ),
    Shape(
        "API key in a header",
        """
path = "/keyed"
answer = "/tenant"
body = {}
headers = { X-Api-Key = "${FOREIGN_KEY}", X-Tenant = "t-{{ tenant }}" }
""",
        {"tenant": 7},
        "t-7",
    ),
    Shape(
        "API key in a query",
        """
method = "GET"
path = "/keyed"
answer = "/ok"
query = { key = "${FOREIGN_KEY}", q = "{{ q }}" }
""",
        {"q": "x"},
        1,
    ),
    Shape(
        "path parameters",
        """
method = "PUT"
path = "/{{ lang }}/items/{{ id:text }}"
answer = ""
success = { status = 201 }
""",
        {"lang": "de", "id": "a/b ?%"},
        {"id": "a/b ?%", "lang": "de"},
    ),
    Shape(
        "gzip answers",
        """
path = "/gzip"
answer = "/text"
body = '{"text": "{{ text }}", "nothing": null}'
""",
        {"text": 'quote " and }} and {{ x }}'},
        'quote " and }} and {{ x }}',
    ),
    Shape(
        "numbers as text",
        """
path = "/numbers"
answer = { score = { at = "/score", type = "number" }, year = { at = "/year", type = "integer" } }
body = { year = "{{ year:integer }}", weight = "{{ weight:number }}" }
""",
        {"year": "1000", "weight": "0.5"},
        {"score": 0.5, "year": 1000},
    ),
    Shape(
        "XML",
        """
path = "/xml"
answer = "/score"
body = { text = "{{ text }}" }
""",
        {"text": "x"},
        error="the answer is XML, not JSON; XML is not read",
        outcome="bad_response",
    ),
]


@contextlib.asynccontextmanager
async def served(
    *, socket_path: str | None = None, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[str]:
    """The server on the running loop; its URL."""
    runner = web.AppRunner(app())
    await runner.setup()
    try:
        if socket_path is not None:
            await web.UnixSite(runner, socket_path).start()
            yield f"unix:{socket_path}"
            return
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def served_beside(**settings: Any) -> Iterator[str]:
    """The same in a thread of its own, for commands and threads."""
    ready, url = threading.Event(), list[str]()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with served(**settings) as found:
            url.append(found)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        assert ready.wait(10)
        yield url[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def environment_with_key() -> dict[str, str]:
    """For a command that needs the key."""
    return {**os.environ, "FOREIGN_KEY": KEY}
