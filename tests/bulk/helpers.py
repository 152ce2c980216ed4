"""What the tests of bulk processing share: inputs, a send that answers in the process, outputs read back."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.bulk import Process, ProcessSettings, Summary
from harness.client.errors import UsageError
from harness.client.types import Outcome, Request, Response


def write_input(path: Path, lines: int, text: str = "a b c") -> Path:
    """So many annotation rows, each with an id."""
    path.write_text("".join(json.dumps({"id": f"i{n}", "text": f"{text} {n}"}) + "\n" for n in range(1, lines + 1)))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Server:
    """Answers in the process; `judge` may say what becomes of a request (index, nth call of it)."""

    def __init__(self, judge: Callable[[int, int], Outcome] | None = None, turns: Callable[[int], int] | None = None):
        self.calls: Counter[int] = Counter()
        self.in_flight = self.in_flight_max = 0
        self._judge = judge or (lambda index, call: Outcome.ok)
        self._turns = turns or (lambda index: 1 + index % 3)

    async def __call__(self, request: Request, /) -> Response:
        index = request.items[0].index
        self.calls[index] += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        sent = asyncio.get_running_loop().time()
        try:
            for _ in range(self._turns(index)):
                await asyncio.sleep(0)
        finally:
            self.in_flight -= 1
        outcome = self._judge(index, self.calls[index])
        answers = (f"answer {request.items[0].data}",) if outcome is Outcome.ok else ()
        status = {Outcome.ok: 200, Outcome.rejected: 429, Outcome.client_error: 400}.get(outcome, 0)
        error = None if outcome is Outcome.ok else f"HTTP {status}: no"
        done = asyncio.get_running_loop().time()
        return Response(outcome, status, answers, sent=sent, done=done, error=error)


def settings(folder: Path, **more: Any) -> ProcessSettings:
    """From in.jsonl to out.jsonl of a folder, without a pause between attempts."""
    values: dict[str, Any] = {
        "input": str(folder / "in.jsonl"),
        "output": str(folder / "out.jsonl"),
        "dead_letter": str(folder / "bad.jsonl"),
        "tasks": ("annotate",),
        "strategy": "queue-stream:concurrency=8",
    }
    return ProcessSettings(**{**values, **more})


def go(wanted: ProcessSettings, server: Server | None = None, **more: Any) -> Summary:
    """One session, to its end."""
    return asyncio.run(Process(wanted, server or Server(), **more).run())


def refusal(wanted: ProcessSettings, server: Server | None = None) -> str | None:
    """Why a session is refused; None if it went to its end."""
    try:
        go(wanted, server)
    except UsageError as error:
        return str(error)
    return None


async def until(true: Callable[[], bool], working: asyncio.Task[Summary]) -> None:
    """Turn the loop until something is so; a run that ends before it has failed."""
    while not true():
        assert not working.done(), working.result()
        await asyncio.sleep(0)
