"""What a long trace costs: seconds to read it, memory that it keeps, and the time to make a prompt.

Run by hand: `python -m tests.bench.trace_memory [ROWS]` [default: 1,000,000]. It writes a trace in each published form
into a temporary folder, and prints a line for each.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from harness import plugins
from harness.load.token_text import TokenText
from harness.load.traces.played_trace import Changes, played
from harness.load.traces.reading import read
from harness.load.traces.trace_prompts import TracePrompts

PROMPTS = 500


def mooncake(rows: int) -> Iterator[str]:
    """About 20 ids a row, most of them its own."""
    rng, at_ms, unused = Random(1), 0.0, 1
    for _ in range(rows):
        at_ms += rng.expovariate(0.01)
        blocks = rng.randint(2, 40)
        ids = [0, *range(unused, unused + blocks - 1)]
        unused += blocks - 1
        row = {"timestamp": round(at_ms), "input_length": 512 * blocks - rng.randint(0, 511), "output_length": 100}
        yield json.dumps({**row, "hash_ids": ids}) + "\n"


def burstgpt(rows: int) -> Iterator[str]:
    """Sessions of four turns in the mean."""
    rng, at_s = Random(1), 0.0
    yield "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    for _ in range(rows):
        at_s += rng.expovariate(10)
        taken, made = rng.randint(10, 3000), rng.randint(1, 900)
        session = f"{rng.randrange(rows // 4):032x}"
        yield f"{at_s:.1f},{session},3,GPT-4,{taken},{made},{taken + made},Conversation log\n"


def azure(rows: int) -> Iterator[str]:
    """Dates with microseconds."""
    rng, at_s = Random(1), 0.0
    yield "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    for _ in range(rows):
        at_s += rng.expovariate(10)
        day, rest = divmod(int(at_s), 86_400)
        date = f"2024-05-{10 + day % 20:02d} {rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
        yield f"{date}.{int(at_s % 1 * 1e6):06d}+00:00,{rng.randint(10, 3000)},{rng.randint(1, 900)}\n"


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(path: Path) -> str:
    """One line about a trace."""
    before, begun = resident_mb(), time.perf_counter()
    rows = read(str(path))
    read_s, kept = time.perf_counter() - begun, resident_mb() - before
    begun = time.perf_counter()
    prompts = TracePrompts(rows, played(rows, Changes(), Random(1), str(path)), TokenText(), 512)
    play_s, kept_all = time.perf_counter() - begun, resident_mb() - before
    chat, begun = plugins.make("task", "chat"), time.perf_counter()
    tokens = sum(prompts.lengths(index, 1)[0] for index in range(PROMPTS))
    for index in range(PROMPTS):
        prompts.data(chat, index, 1)
    each_s = (time.perf_counter() - begun) / PROMPTS
    size = path.stat().st_size / 1e6
    return (
        f"{path.name}: {len(rows):,} rows, {size:.0f} MB; read in {read_s:.1f} s, keeps {kept:.0f} MB; arrivals in "
        f"{play_s:.1f} s, keeps {kept_all:.0f} MB in all; a prompt of {tokens / PROMPTS:,.0f} tokens in "
        f"{each_s * 1e6:.0f} µs"
    )


def main(rows: int) -> None:
    """Write, measure and remove a trace of each form."""
    forms = {"mooncake.jsonl": mooncake, "burstgpt.csv": burstgpt, "azure.csv": azure}
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in forms.items():
            path = Path(folder) / name
            with path.open("w", encoding="utf-8") as file:
                file.writelines(lines(rows))
            print(measure(path), flush=True)
            path.unlink()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
