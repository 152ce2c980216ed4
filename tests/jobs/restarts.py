"""Redis killed and restarted on its append-only files in the middle of a job: `python -m tests.jobs.restarts`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_server.jobs.celery_backend import CeleryJobs
from model_server.jobs.job import JobSettings
from model_server.jobs.redis_server import dies_with_parent, find
from tests.jobs.servers import Client, server, worker

SETTINGS = JobSettings(retry_delay_s=0.2)
PROFILE = "[service]\nbase_s = 0.15\n[capacity]\nworkers = 4\n"


class OwnRedis:
    """A redis-server on a port that stays the same, which can be killed and started again on its files."""

    def __init__(self, folder: Path, *, append: bool = True) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._line = [str(find()), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--dir", str(folder)]
        self._line += ["--appendonly", "yes" if append else "no"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        self._process = subprocess.Popen(
            self._line,
            stdout=subprocess.DEVNULL,
            preexec_fn=dies_with_parent(),  # noqa: PLW1509 - one prepared system call, no lock is taken
        )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0) as probe:
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
            assert self._process.poll() is None, "redis-server ended"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: nothing is written any more."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(30)


@contextmanager
def own_redis(folder: Path, *, append: bool = True) -> Iterator[OwnRedis]:
    """Running at first; ended at the end."""
    redis = OwnRedis(folder, append=append)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()


async def done(client: Client, job_id: str) -> int:
    """Items with a result; -1 while Redis does not answer."""
    status, job = await client("GET", f"/v1/jobs/{job_id}")
    return int(job["request_counts"]["completed"]) if status == 200 else -1


async def play(folder: Path, *, items: int, kills: int, away_s: float, workers: int = 2) -> dict[str, Any]:
    """One job, `kills` restarts spread over it; what came of it."""
    profile = folder / "slow.toml"
    profile.write_text(PROFILE)
    bodies = [{"text": f"number {index} of the [MASK]"} for index in range(items)]
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(own_redis(folder))
        for number in range(workers):
            stack.enter_context(worker(redis.url, str(profile), SETTINGS, f"w{number}"))
        async with server(CeleryJobs(redis.url, SETTINGS)) as client:
            job = await client.submit(bodies)
            for number in range(kills):
                while await done(client, job["id"]) < items * number // (kills + 1) + 5:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(redis.kill)
                await asyncio.sleep(away_s)
                await asyncio.to_thread(redis.start)
            restarted_at = time.monotonic()
            while await done(client, job["id"]) < items:
                await asyncio.sleep(0.05)
            over = await client.over(job["id"])
            results = await client.results(job["id"])
    right = [f"number {row['index']} of" in row["body"][0]["sequence"] for row in results if row["status"] == 200]
    indices = [row["index"] for row in results]
    return {
        "status": over["status"],
        "counts": over["request_counts"],
        "lost": items - len(set(indices)),
        "doubled": len(indices) - len(set(indices)),
        "right": sum(right),
        "after_last_restart_s": round(time.monotonic() - restarted_at, 1),
    }


def main() -> int:
    """The command; 1 if anything was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--away", type=float, default=2.0, metavar="SECONDS")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(play(Path(folder), items=given.items, kills=given.kills, away_s=given.away))
    print(found)
    return 0 if found["lost"] == found["doubled"] == 0 and found["right"] == given.items else 1


if __name__ == "__main__":
    sys.exit(main())
