"""A worker process of the local engine: `python -m harness.cli.bulk_worker`, spoken to through its pipes."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress

import msgspec

from harness.bulk.fleet.message_frames import framed, read_frame
from harness.bulk.fleet.messages import Beat, Reply, WorkerOrder, packed
from harness.bulk.fleet.parts import located
from harness.bulk.fleet.range_worker import Worker
from harness.bulk.sinks import write_all
from harness.client.errors import UsageError

_order, _reply = msgspec.msgpack.Decoder(WorkerOrder), msgspec.msgpack.Decoder(Reply)
_LIMIT = 64 * 1024 * 1024


async def _run(incoming: int, outgoing: int) -> None:
    stream = asyncio.StreamReader(limit=_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(incoming, "rb"))
    first = await read_frame(stream)
    if first is None:
        return
    order = _order.decode(first)
    try:
        worker = Worker(order)
    except UsageError as error:
        text = located(error, order.worker, socket.gethostname())
        write_all(outgoing, framed(packed(Beat(order.worker, error=text, leaves=True))), "the coordinator")
        return
    try:
        while (frame := await read_frame(stream)) is not None:
            # The coordinator may die while this worker waits for news.
            beat = asyncio.create_task(worker.exchange(_reply.decode(frame)))
            await _until_done(beat, stream)
            if not beat.done():
                beat.cancel()
                return
            write_all(outgoing, framed(packed(beat.result())), "the coordinator")
            if beat.result().leaves:
                return
    except BrokenPipeError:
        return
    finally:
        await worker.close()


async def _until_done(beat: asyncio.Task[Beat], stream: asyncio.StreamReader) -> None:
    """Wait for the beat, or for the end of the coordinator."""
    while not beat.done() and not stream.at_eof():
        await asyncio.wait({beat}, timeout=0.05)


def main() -> None:
    """Work for the coordinator at the other end of the pipes."""
    from harness.experiment.event_loop import new_event_loop

    incoming, outgoing = os.dup(0), os.dup(1)
    # Nothing that a task or layer prints may come between the messages.
    os.dup2(2, 1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(incoming, outgoing))


if __name__ == "__main__":
    main()
