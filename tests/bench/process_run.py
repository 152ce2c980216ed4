"""A bulk run in a process of its own, answered inside it: `python -m tests.bench.process_run FOLDER ORDER`.

Prints the resident memory when 10,000 lines were settled, the most of it from then on, and lines a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from harness.bulk import ProcessSettings, process
from harness.client.types import Outcome, Request, Response
from harness.experiment.event_loop import new_event_loop

ANSWERS = ("an annotation of a dozen words, as they come from a small language model",)


async def send(request: Request, /) -> Response:
    """An answer two turns of the loop later."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return Response(Outcome.ok, 200, ANSWERS, sent=0.0, done=0.0)


def main(folder: Path, order: str) -> None:
    """Run it, and say what it took."""
    me = psutil.Process()
    seen: list[int] = []

    def tell(event: str, facts: dict[str, Any]) -> None:
        if event == "status" and facts["counts"].settled >= 10_000:
            seen.append(me.memory_info().rss)

    settings = ProcessSettings(
        input=str(folder / "in.jsonl"),
        output=str(folder / "out.jsonl"),
        tasks=("annotate",),
        strategy="queue-stream:concurrency=50",
        order=order,  # type: ignore[arg-type] # the caller's word
        overwrite=True,
    )
    started = time.perf_counter()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        summary = runner.run(process(settings, send=send, tell=tell))
    took_s = time.perf_counter() - started
    megabytes = [size / 1e6 for size in seen]
    said = {"ok": summary.counts["ok"], "per_s": summary.counts["ok"] / took_s}
    print(json.dumps(said | {"first_mb": megabytes[0], "most_mb": max(megabytes), "took_s": took_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
