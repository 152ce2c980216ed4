"""What the server tests share: a loop whose time is virtual, and a way to call an app without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from mock_server.app import create
from mock_server.profiles import load
from model_server.http.app import App
from model_server.http.bounds import FaceSettings
from model_server.http.serving import served

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sleeps take no time: when nothing is ready, the clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        wait = self._selector.select

        def select(timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("nothing will ever happen again")
            self._now += timeout
            return wait(0)

        self._selector.select = select

    def time(self) -> float:
        return self._now


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@dataclass
class Answered:
    """What came back from an app called directly."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    at: float = 0.0
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def timing(self) -> dict[str, float]:
        parts = [part.strip().split(";") for part in self.headers["server-timing"].split(", ")]
        return {part[0]: float(part[1].removeprefix("dur=")) for part in parts}


async def call(
    app: App,
    path: str,
    body: Any = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    gone_after: float | None = None,
) -> Answered:
    """One exchange over plain ASGI; `gone_after` seconds later the client hangs up."""
    loop = asyncio.get_running_loop()
    answer = Answered()
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    sent_body = False

    async def receive() -> dict[str, Any]:
        nonlocal sent_body
        if not sent_body:
            sent_body = True
            return {"type": "http.request", "body": raw, "more_body": False}
        await (loop.create_future() if gone_after is None else asyncio.sleep(gone_after))
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answer.at = loop.time()
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")
            answer.pieces.append((loop.time(), message.get("body", b"")))

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
    }
    await app(scope, receive, send)
    return answer


def app_of(tmp_path: Path, toml: str, **options: Any) -> App:
    """A mock from the text of a profile."""
    path = tmp_path / "test.toml"
    path.write_text(toml, encoding="utf-8")
    return create(load(path), **options)


PAIR = {"text1": "a small cat sat", "text2": "the cat was sitting"}


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[aiohttp.ClientSession]:
    """The app on a socket, and a client session for it."""
    async with served(app) as url, aiohttp.ClientSession(url) as session:
        yield session


def null_app(**settings: Any) -> App:
    """A mock that answers at once."""
    return create("null", settings=FaceSettings(**settings))
