"""Writes small traces in the published forms of Mooncake, BurstGPT and Azure, with made-up numbers.

    python scenarios/data/make_traces.py FOLDER    [default: the folder of this file]

mooncake.jsonl: 60 requests in 12 s; a system prompt that a third of them share, and conversations whose turns share
their beginning. burstgpt.csv: 80 requests in 20 s, of sessions, two of them failed. azure.csv: 50 requests in 10 s.
The same program gives the same files.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from pathlib import Path
from random import Random

BLOCK = 512
BEGIN = dt.datetime(2024, 5, 10, tzinfo=dt.UTC)


def mooncake(path: Path) -> None:
    """Milliseconds, lengths, and an id for every 512 tokens that stands for them and for all before them."""
    rng, unused, conversations, at_ms = Random(1), 1, list[list[int]](), 0.0
    lines = []
    for _ in range(60):
        at_ms += rng.expovariate(1 / 200)
        # Nine of twenty requests go on with a conversation.
        goes_on = bool(conversations) and rng.random() < 0.45
        ids = rng.choice(conversations) if goes_on else ([0] if rng.random() < 0.5 else [])
        more = rng.randint(1, 3)
        whole = [*ids, *range(unused, unused + more)]
        unused += more
        # The last block is rarely full, so another turn cannot begin with it.
        conversations.append(whole[:-1])
        length = BLOCK * (len(whole) - 1) + rng.randint(1, BLOCK)
        row = {
            "timestamp": round(at_ms),
            "input_length": length,
            "output_length": rng.randint(4, 40),
            "hash_ids": whole,
        }
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def burstgpt(path: Path) -> None:
    """Seconds, sessions, and the model; a failed request has no answer."""
    rng, at_s, lengths = Random(2), 5.0, dict[str, int]()
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(
            [
                "Timestamp",
                "Session ID",
                "Elapsed time",
                "Model",
                "Request tokens",
                "Response tokens",
                "Total tokens",
                "Log Type",
            ]
        )
        for number in range(80):
            at_s += rng.gammavariate(0.5, 0.5)
            session = f"{rng.randint(0, 29):08x}-5c1f-4b62-9d0e-{0x1F2E3D4C5B6A:012x}"
            taken = lengths[session] = lengths.get(session, 0) + rng.randint(20, 400)
            made = 0 if number in {30, 61} else rng.randint(4, 60)
            kind = rng.choice(["ChatGPT", "GPT-4"])
            rows.writerow([f"{at_s:.1f}", session, 1, kind, taken, made, taken + made, "Conversation log"])


def azure(path: Path) -> None:
    """Dates with a time zone, as in the traces of 2024."""
    rng, at = Random(3), BEGIN
    lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for _ in range(50):
        at += dt.timedelta(microseconds=round(rng.expovariate(5.0) * 1e6))
        lines.append(f"{at.isoformat(sep=' ', timespec='microseconds')},{rng.randint(50, 3000)},{rng.randint(2, 50)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write the three files."""
    mooncake(folder / "mooncake.jsonl")
    burstgpt(folder / "burstgpt.csv")
    azure(folder / "azure.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
