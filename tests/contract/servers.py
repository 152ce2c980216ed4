"""The servers that the contract holds for, and a plain client that hides nothing of what came back."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from model_server.http.app import App
from model_server.http.serving import served

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """One that listens."""

    kind: str  # mock or model
    url: str
    app: App

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def settle(self) -> None:
        """Wait until nothing is in flight: a hang-up is noticed a moment after it happened."""
        wait_until(lambda: not self.app.in_flight)


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what another thread does; fails when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.002)


class Host:
    """A thread with a loop on which servers run, so that tests of any colour can call them."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="servers", daemon=True)
        self._thread.start()
        self._stopping = asyncio.Event()
        self._serving: list[asyncio.Task[None]] = []
        self._servers: dict[Any, Server] = {}

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Run on the servers' loop and wait."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(step, self.loop)
        return future.result(120)

    def serve(self, kind: str, key: Any, make: Callable[[], App]) -> Server:
        """The server of that kind and key; started at the first call, kept for the others."""
        if (kind, key) not in self._servers:
            app = make()
            url = self.run(self._begin(app))
            wait_until(lambda: app.engine.ready)
            self._servers[kind, key] = Server(kind, url, app)
        return self._servers[kind, key]

    async def _begin(self, app: App) -> str:
        listening: asyncio.Future[str] = self.loop.create_future()

        async def serve() -> None:
            async with served(app) as url:
                listening.set_result(url)
                await self._stopping.wait()

        self._serving.append(asyncio.create_task(serve()))
        return await listening

    async def _end(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._serving)

    def stop(self) -> None:
        """End all servers and the thread."""
        self.run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The server-sent events; raises if they are not of the form that clients expect, the end included."""
        assert self.headers["content-type"].startswith("text/event-stream")
        text = self.body.decode()
        if text.startswith("event: "):
            return self._named_events(text)
        assert text.endswith("data: [DONE]\n\n"), text[-200:]
        lines = text.removesuffix("data: [DONE]\n\n").split("\n\n")
        assert lines.pop() == ""
        assert all(line.startswith("data: ") and "\n" not in line for line in lines)
        return [json.loads(line.removeprefix("data: ")) for line in lines]

    @staticmethod
    def _named_events(text: str) -> list[Any]:
        """Events whose name is their type; the last of them is the end."""
        *parts, rest = text.split("\n\n")
        assert rest == ""
        pairs = [part.removeprefix("event: ").split("\ndata: ") for part in parts]
        events = [json.loads(data) for _, data in pairs]
        assert [event["type"] for event in events] == [name for name, _ in pairs]
        assert events[-1]["type"] in {"response.completed", "response.incomplete"}
        return events


class Caller:
    """One kept-alive connection to a server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send and read; `body` is JSON unless it is bytes. Header names have underscores for dashes."""
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if raw is not None:
            sent.setdefault("content-type", "application/json")
        self._connection.request(method, path, raw, sent)
        response = self._connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """POST."""
        return self("POST", path, body, **headers)

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self("GET", path, **headers)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def checked_error(answer: Answer, status: int, code: str | None = None, *, tei: bool = False) -> dict[str, Any]:
    """The error of an answer that has to be the one error body."""
    assert answer.status == status, (answer.status, answer.body[:300])
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert set(body) == ({"error", "error_type"} if tei else {"error"}), body
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert len(error["message"]) < 1000
    assert code is None or error["code"] == code, error
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
        assert int(answer.headers["retry-after-ms"]) >= 1
    return error
