"""Workers as processes of this machine; messages go through their standard input and output.

A worker whose coordinator has died reads the end of its standard input, and ends at once. It is in a session of its
own, so that Ctrl-C at the terminal reaches the coordinator alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque

import msgspec

from harness.bulk.fleet.message_frames import framed, read_frame
from harness.bulk.fleet.messages import Beat, Reply, WorkerLostError, WorkerOrder, packed
from harness.client.errors import UsageError

WORKER_MB = 50
"""Memory of a worker that has begun."""
_END_S, _DRAIN_S = 5.0, 1.0
_SAID_LINES = 5
_beat = msgspec.msgpack.Decoder(Beat)


class LocalEngine:
    """Starts worker processes."""

    workers_end_with_us = True
    beat_s = 0.1
    opening = ""
    starts_at_once = max(4, 2 * (os.cpu_count() or 1))

    async def open(self, workers: int) -> None:
        """Raises UsageError if this machine has not the memory for them."""
        total_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
        if workers * WORKER_MB > total_mb:
            raise UsageError(
                f"--workers {workers}: each needs about {WORKER_MB} MB, and this machine has {total_mb:,.0f} MB; at "
                f"most {int(total_mb / WORKER_MB)} here. More of them need more machines: --engine ray"
            )

    async def start(self, order: WorkerOrder) -> LocalContact:
        """Start a process and give it its order."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "harness.cli.bulk_worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"a worker cannot be started: {error.strerror or error}") from error
        contact = LocalContact(process)
        try:
            await contact.send(order)
        except BaseException:
            # It ended at once, or this start was cancelled: nobody else knows its pipes.
            await contact.close()
            raise
        return contact

    async def close(self) -> None:
        """Each contact ends its own process."""


class LocalContact:
    """The pipes to one worker process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        # Its last words.
        self._said: deque[str] = deque(maxlen=_SAID_LINES)
        self._listening = asyncio.create_task(self._listen())

    async def exchange(self, reply: Reply) -> Beat:
        """Answer, and wait for the next beat."""
        await self.send(reply)
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        frame = await read_frame(self._process.stdout)
        if frame is None:
            await self._lost()
        return _beat.decode(frame or b"")

    async def send(self, message: WorkerOrder | Reply) -> None:
        """Write a message. Raises WorkerLostError if the worker has ended."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        if self._process.stdin.is_closing():
            # The loop has noticed its end; to write would be an error of another kind.
            await self._lost()
        try:
            self._process.stdin.write(framed(packed(message)))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            await self._lost()

    async def _lost(self) -> None:
        code = await self._process.wait()
        await asyncio.wait({self._listening}, timeout=1.0)
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        last = f": {self._said[-1]}" if self._said else ""
        raise WorkerLostError(f"worker process {self._process.pid} {how}{last}")

    async def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(ValueError):
            async for line in self._process.stderr:
                self._said.append(line.decode(errors="replace").strip())

    async def close(self) -> None:
        """Close its input, which ends it; kill it if that does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.returncode is None:
            try:
                await asyncio.wait_for(self._process.wait(), _END_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        await self._drain()

    async def _drain(self) -> None:
        """Read the pipes to their ends: only then asyncio closes them."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        reading = asyncio.create_task(self._process.stdout.read())
        await asyncio.wait({reading, self._listening}, timeout=_DRAIN_S)
        for task in (reading, self._listening):
            task.cancel()
        await asyncio.gather(reading, self._listening, return_exceptions=True)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._process.stdin.wait_closed(), _DRAIN_S)
        # The transport notices the ends of its pipes one turn of the loop later.
        await asyncio.sleep(0)
