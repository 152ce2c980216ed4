"""Ten thousand connections from one process: all in flight at once, then as many streams on the same connections.

`python -m tests.bench.many_connections [--connections N] [--hold SECONDS] [--json FILE]`

The server holds each answer back until all requests have been sent. File limit and local ports are checked first; what
is missing is printed with the command that mends it (exit code 2). Memory is the growth of the client's own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from harness.client.transport import open_files
from harness.client.transport.lean import LeanTransport
from harness.client.transport.local_ports import WIDER, local_ports
from harness.client.types import Outcome, Request
from harness.experiment.event_loop import new_event_loop
from harness.experiment.file_limit import RESERVE
from tests.bench.fixed_answers import EVENTS, fixed_answers
from tests.bench.transports import pair, stream

BATCH = 250
"""Connections that are opened at a time: more would overflow the queue of the listening socket."""
PAUSE_S = 0.02


def missing(connections: int) -> Iterator[str]:
    """What this machine does not allow, each with the command that mends it."""
    need = connections + RESERVE
    if open_files.limits()[1] < need:
        yield f"{need} open files are needed, {open_files.limits()[1]:g} are allowed: `ulimit -n {need}` as root"
    ports = local_ports()
    if ports is not None and ports < connections:
        yield f"{connections} local ports are needed, there are {ports}: `{WIDER}`"


class Client:
    """The transport, and what is measured of it."""

    def __init__(self, send: LeanTransport, connections: int) -> None:
        self._send = send
        self._connections = connections
        self._process = psutil.Process()
        self._outcomes: Counter[str] = Counter()
        self._most = self._flying = 0
        self._before = self._memory()

    def _memory(self) -> int:
        gc.collect()
        return int(self._process.memory_info().rss)

    def _kb(self) -> float:
        return (self._memory() - self._before) / 1024 / self._connections

    @property
    def _open(self) -> int:
        pool: Any = self._send._pool
        return len(pool._all)

    async def _one(self, request: Request) -> None:
        self._flying += 1
        self._most = max(self._most, self._flying)
        response = await self._send(request)
        self._flying -= 1
        whole = response.outcome is Outcome.ok and len(response.chunks) == (EVENTS if request.stream else 0)
        self._outcomes[response.outcome.name if whole else f"{response.outcome.name}, not whole"] += 1

    async def play(self, request: Request) -> dict[str, Any]:
        """As many requests as connections, all in flight at the same time."""
        self._outcomes.clear()
        self._most = 0
        begun, cpu = time.monotonic(), time.process_time()
        tasks = []
        for number in range(self._connections):
            tasks.append(asyncio.create_task(self._one(request)))
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(PAUSE_S)
        opened_s = time.monotonic() - begun
        flying_kb = self._kb()
        await asyncio.gather(*tasks)
        tasks.clear()
        return {
            "outcomes": dict(self._outcomes),
            "in flight at most": self._most,
            "connections open": self._open,
            "sent within s": round(opened_s, 2),
            "all answered within s": round(time.monotonic() - begun, 2),
            "client CPU us per request": round(1e6 * (time.process_time() - cpu) / self._connections, 1),
            "kB per request in flight": round(flying_kb, 2),
            "kB per idle connection": round(self._kb(), 2),
        }


async def measured(url: str, connections: int) -> dict[str, dict[str, Any]]:
    """The figures of each kind of answer."""
    found = {}
    async with LeanTransport(url, timeout_s=120.0) as send:
        # Modules, caches and the first connections are the interpreter's own.
        for _ in range(5):
            await asyncio.gather(*(send(pair()) for _ in range(20)))
        client = Client(send, connections)
        slow = pair()
        found["JSON"] = await client.play(Request(slow.items, slow.task, "/slow", slow.body))
        found[f"SSE, {EVENTS} events"] = await client.play(stream("/slow-stream"))
    return found


def main(arguments: list[str]) -> int:
    """Print the figures; exit code 1 if a request failed, 2 if the machine does not allow the connections."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--hold", type=float, default=1.0, help="seconds that answers are held back after the last")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    open_files.raise_limit()
    if lacking := list(missing(options.connections)):
        print("\n".join(lacking), file=sys.stderr)
        return 2
    with (
        fixed_answers(options.connections, options.hold) as (url, _),
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        found = runner.run(measured(url, options.connections))
    for kind, figures in found.items():
        print(kind)
        for name, value in figures.items():
            print(f"  {name:<28} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))
    return 0 if all(figures["outcomes"] == {"ok": options.connections} for figures in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
