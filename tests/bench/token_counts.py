"""Tokens of the client against the mock's own counts, over many streams in virtual time, by hand.

    python -m tests.bench.token_counts [STREAMS]

Chats with prompts of different lengths stream from the mock through the real HTTP client on a network in memory. The
sums of prompt and output tokens in the records must equal the mock's counters, and the events the number of tokens.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.experiment.simulate import SimulatedServer, Terms, play
from harness.experiment.spec import Trial
from harness.measure.record.files import find
from harness.measure.record.plan import TaskShare
from harness.measure.reduce.columns import load_repeat
from harness.measure.result import Named
from tests.simulation.kernel import servers

STREAMS = 10_000


class Sums(NamedTuple):
    """Tokens of all streams, by both sides."""

    streams: int
    prompt: int
    output: int
    events: int
    gaps: int
    of_the_mock: tuple[int, int]


def count(streams: int, folder: Path) -> Sums:
    """Play the streams; their records go to a folder below `folder`."""
    server = SimulatedServer(servers.written(folder, servers.LLM), 7)
    records = folder / "records"
    records.mkdir()
    task = TaskShare(Named("chat", {"stream": True, "max_tokens": 24}))
    spec = Trial(
        name="streams",
        target="simulated:",
        strategy=Named("queue-stream", {"concurrency": 64}),
        records=str(records),
        tasks=[task],
        synthetic={},
        load=Named("backlog"),
        items=streams,
    )
    play(spec, server, Terms(network="memory"))
    repeat = load_repeat(0, find(records)["streams"][0])
    counts, metrics = repeat.tokens.counts, server.app.metrics
    return Sums(
        len(counts),
        int(counts["prompt"].sum()),
        int(counts["output"].sum()),
        int(repeat.rows["chunks"].sum()),
        int((~np.isnan(repeat.tokens.gaps["gaps"])).sum()),
        (metrics.prompt_tokens, metrics.generation_tokens),
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        found = count(int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS, Path(scratch))
    print(found)
    if (found.prompt, found.output) != found.of_the_mock or found.gaps != found.events - found.streams:
        sys.exit("the counts differ")
