"""A run in a process of its own, to be killed: `python -m tests.bulk.child FOLDER ORDER OUTPUT`.

The server is inside it: it notes each call in `calls` before it answers, so that repeated ones can be counted.
Checkpoints come often and the journal is rewritten all the time, so that kills meet every moment of both.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from harness.bulk import ProcessSettings, journal, process, saving
from harness.client.types import Outcome, Request, Response

CONCURRENCY = 16


def main(folder: Path, order: str, output: str) -> int:
    """Go on with what is there; the exit code says whether it is complete."""
    saving.PLAIN_SYNC_S = saving.PACKED_SYNC_S = 0.2
    journal.REWRITE_BYTES = 20_000
    calls = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rng = random.Random(os.getpid())

    async def send(request: Request, /) -> Response:
        index = request.items[0].index
        os.write(calls, b"%d\n" % index)
        await asyncio.sleep(rng.expovariate(200.0))
        if index % 50 == 7:
            return Response(Outcome.client_error, 400, sent=0.0, error="HTTP 400: no")
        return Response(Outcome.ok, 200, (f"answer {request.items[0].data}",), sent=0.0)

    settings = ProcessSettings(
        input=str(folder / "in.jsonl"),
        output=str(folder / output),
        dead_letter=str(folder / "bad.jsonl"),
        tasks=("annotate",),
        strategy=f"queue-stream:concurrency={CONCURRENCY}",
        order=order,  # type: ignore[arg-type] # the caller's word
        window=200,
        resume=True,
    )
    return 0 if asyncio.run(process(settings, send=send)).complete else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
